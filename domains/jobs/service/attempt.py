"""One attempt at a job: runs the handler and records its outcome."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ValidationError

from domains.jobs.errors import BadPayload, JobFailed, JobTimedOut, UnknownKind
from domains.jobs.models import AttemptOutcome, JobState
from domains.jobs.schemas import ClaimedJob
from domains.jobs.service.running import RunningJob
from domains.jobs.settings import JobsSettings
from shared.background import is_expected_error, reason_of
from shared.clock import Clock
from shared.errors import AppError, problem_of
from shared.jobs import JobHandler, JobRegistry, LeaseLost, PermanentError, Snooze
from shared.logging import get_logger
from shared.trace import Attribute, Trace, fail_span, span, tracing

logger = get_logger(__name__)
UNKNOWN_PAUSE = timedelta(minutes=1)
"""Pause of a job whose kind this worker does not have, for workers of a newer version."""


@dataclass(eq=False)
class Attempt:
    """One claimed job in a worker.

    `succeed` ends the job after its handler returned. It may claim the next job in the same statement, and returns it.
    """

    job: ClaimedJob
    running: RunningJob
    registry: JobRegistry
    settings: JobsSettings
    clock: Clock
    succeed: Callable[[RunningJob], Awaitable[ClaimedJob | None]]

    async def run(self) -> ClaimedJob | None:
        """Run the job and record its outcome; return the job that `succeed` claimed. Raises only CancelledError."""
        job = self.job
        about: dict[str, Attribute] = {
            "tulou.job.id": str(job.id),
            "tulou.job.kind": job.kind,
            "tulou.job.attempt": job.attempt,
        }
        with (
            tracing(Trace(job.request_id, job.traceparent), job_id=str(job.id), kind=job.kind),
            span(f"job {job.kind}", "consumer", about=about),
        ):
            try:
                return await self._run()
            except LeaseLost:
                logger.warning("lease_lost")
            except Exception as error:
                # Most likely the database is down: the lease expires, and the job is run again.
                is_expected = is_expected_error(error)
                level = logging.WARNING if is_expected else logging.ERROR
                trace = None if is_expected else error
                logger.log(level, "job_left_to_its_lease", error=reason_of(error), exc_info=trace)
        return None

    async def _run(self) -> ClaimedJob | None:
        job, handler = self.job, self.registry.find(self.job.kind)
        if handler is None or job.payload_version > handler.type.version:
            await self._leave_to_newer()
            return None
        try:
            payload = handler.type.payload.model_validate(job.payload)
        except ValidationError as error:
            await self._refuse_payload(error)
            return None
        following = await self._work(handler, payload)
        if self.running.lost:
            logger.warning("lease_lost")
        return following

    async def _work(self, handler: JobHandler[Any], payload: BaseModel) -> ClaimedJob | None:
        running = self.running
        following = None
        started = time.monotonic()
        work = asyncio.create_task(handler.run(payload, running))
        heartbeat = asyncio.create_task(running.keep_lease(work))
        limit = asyncio.timeout(handler.type.timeout)
        try:
            async with limit:
                await work
        except TimeoutError as error:
            await self._failed(JobTimedOut() if limit.expired() else error)
        except asyncio.CancelledError:
            await self._stopped(work)
        except LeaseLost:
            raise
        except Snooze as snooze:
            logger.info("job_snoozed", reason=snooze.reason)
            await running.postpone(
                snooze.delay, outcome=AttemptOutcome.SNOOZED, error={"detail": snooze.reason}
            )
        except Exception as error:  # noqa: BLE001  # any exception of a handler is a failure of its job
            await self._failed(error)
        else:
            following = await self._returned()
        finally:
            heartbeat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await heartbeat
        seconds = round(time.monotonic() - started, 3)
        logger.info("job_run", outcome=running.outcome, seconds=seconds, attempt=running.attempt)
        return following

    async def _returned(self) -> ClaimedJob | None:
        if self.running.finished:
            return None
        if self.running.cancelled:
            await self.running.end(JobState.CANCELLED)
            return None
        return await self.succeed(self.running)

    async def _stopped(self, work: "asyncio.Task[None]") -> None:
        """End a job whose coroutine was cancelled: its lease is lost, it was to be cancelled, or this worker ends."""
        running = self.running
        work.cancel()
        if running.lost or running.finished:
            return
        if running.cancelled:
            await running.end(JobState.CANCELLED, abandoned=True)
            return
        this = asyncio.current_task()
        stopping = this is not None and this.cancelling() > 0
        if not stopping and not running.released:
            await self._failed(JobFailed("The job cancelled itself."))
            return
        logger.info("job_released")
        await running.postpone(timedelta(0), outcome=AttemptOutcome.GIVEN_BACK, error=None)
        if stopping:
            raise asyncio.CancelledError

    async def _failed(self, error: Exception) -> None:
        running = self.running
        if running.finished:
            logger.error("job_failed_after_finish", exc_info=error)
            return
        problem = _problem(error)
        if running.cancelled:
            logger.log(_level_of(error), "job_failed_after_cancel", exc_info=_undeclared(error))
            await running.end(JobState.CANCELLED, abandoned=True)
            return
        fail_span(problem["code"])
        if running.is_last_attempt or _is_permanent(error):
            # A declared error is about the input and is shown to the owner. Any other needs an operator.
            is_fact = isinstance(error, AppError) and error.permanent
            level = logging.INFO if is_fact else logging.ERROR
            logger.log(level, "job_failed", problem=problem["code"], exc_info=_undeclared(error))
            await running.end(JobState.FAILED, error=problem, abandoned=not _is_permanent(error))
            return
        delay = self._backoff(running.attempt)
        logger.log(
            _level_of(error),
            "job_retries",
            problem=problem["code"],
            delay=delay,
            exc_info=_undeclared(error),
        )
        await running.postpone(timedelta(seconds=delay), outcome=AttemptOutcome.FAILED, error=problem)

    async def _refuse_payload(self, error: ValidationError) -> None:
        # Without the traceback, which would show the payload.
        wrong = [".".join(map(str, line["loc"])) for line in error.errors(include_input=False)]
        logger.error("job_failed", problem=BadPayload.code, errors=wrong)
        await self.running.end(JobState.FAILED, error=problem_of(BadPayload(errors=wrong)), abandoned=True)

    async def _leave_to_newer(self) -> None:
        job, running = self.job, self.running
        age = (self.clock.now() - job.created_at).total_seconds()
        problem = problem_of(UnknownKind())
        if age > self.settings.jobs_unknown_limit:
            logger.error("job_failed", problem=problem["code"], version=job.payload_version)
            await running.end(JobState.FAILED, error=problem, abandoned=True)
            return
        logger.warning("unknown_job", version=job.payload_version)
        await running.postpone(UNKNOWN_PAUSE, outcome=AttemptOutcome.SNOOZED, error=problem)

    def _backoff(self, attempt: int) -> float:
        """Return the seconds until the next attempt: doubled each time, with jitter so that a crowd spreads out."""
        wait: float = min(self.settings.jobs_retry_limit, self.settings.jobs_retry_base * 2 ** (attempt - 1))
        return wait * random.uniform(0.5, 1.5)  # noqa: S311  # jitter, not a secret


def _problem(error: Exception) -> dict[str, Any]:
    if isinstance(error, AppError):
        return problem_of(error)
    if isinstance(error, PermanentError):
        return problem_of(JobFailed(str(error) or None))
    return problem_of(JobFailed())


def _is_permanent(error: Exception) -> bool:
    return isinstance(error, PermanentError) or (isinstance(error, AppError) and error.permanent)


def _undeclared(error: Exception) -> Exception | None:
    """Return the exception to log with a traceback; None for declared errors."""
    return None if isinstance(error, AppError) else error


def _level_of(error: Exception) -> int:
    """Return the log level of a failed attempt: error for bugs in this program."""
    return logging.WARNING if is_expected_error(error) else logging.ERROR
