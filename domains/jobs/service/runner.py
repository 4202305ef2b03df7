"""Runs jobs in a worker: claim, heartbeat, and what becomes of each way in which a job can end."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from pydantic import BaseModel, ValidationError

from domains.jobs.errors import BadPayload, JobFailed, JobTimedOut, UnknownKind
from domains.jobs.models import AttemptOutcome, JobState
from domains.jobs.schemas import ClaimedJob
from domains.jobs.service.fair_shares import FairShares
from domains.jobs.service.running import Leases, Provide, RunningJob
from domains.jobs.service.worker_loop import WorkerLoop
from domains.jobs.settings import JobsSettings
from shared.background import is_expected_error, reason_of
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.errors import AppError, problem_of
from shared.ids import new_id
from shared.jobs import JobHandler, JobRegistry, LeaseLost, Outbox, PermanentError, Snooze
from shared.logging import get_logger
from shared.trace import Attribute, Trace, fail_span, span, tracing

logger = get_logger(__name__)
UNKNOWN_PAUSE = timedelta(minutes=1)
"""Wait of a job that this worker doesn't know; a newer deployment may."""


class ClaimingLeases(Leases, Protocol):
    """Leases that can be taken."""

    async def claim(
        self,
        queue: str,
        *,
        token: UUID,
        worker: str,
        lease: timedelta,
        alone: bool = True,
        kinds: Collection[str] | None = None,
        fairly: bool = False,
        just_served: str | None = None,
    ) -> ClaimedJob | None:
        """Take the job of a queue whose turn it is."""
        ...


class JobRunner:
    """One for each worker process.

    `ends_at` tells when this worker must have ended (`time.monotonic()`), or None while it needn't: from then on it
    takes no further job, and releases those that it has, the attempt not counted. `kinds`: those that it runs; None:
    all. `slots`: how many jobs of a queue it runs at a time, where that isn't one. While it `is_paused` it begins none.
    """

    def __init__(
        self,
        *,
        leases: ClaimingLeases,
        registry: JobRegistry,
        transaction: TransactionFactory,
        outbox: Outbox,
        settings: JobsSettings,
        clock: Clock,
        provide: Provide,
        worker_id: str,
    ) -> None:
        self._leases = leases
        self._registry = registry
        self._transaction = transaction
        self._outbox = outbox
        self._settings = settings
        self._clock = clock
        self._provide = provide
        self._worker_id = worker_id
        self._shares = FairShares()
        self.ends_at: Callable[[], float | None] = lambda: None
        self.kinds: Collection[str] | None = None
        self.slots: Mapping[str, int] = {}
        self.is_paused: Callable[[], bool] = lambda: False

    async def run_worker_loop(self, queue: str) -> int:
        """Run due jobs of a queue for a while, each in its turn; return how many were run."""
        until = time.monotonic() + self._settings.jobs_drain_seconds

        def goes_on(taken: int) -> bool:
            may = taken < self._settings.jobs_drain_limit and time.monotonic() < until
            return may and self.ends_at() is None and not self.is_paused()

        if self.is_paused():
            return 0
        worker_loop = WorkerLoop(self, queue, slots=self.slots.get(queue, 1), goes_on=goes_on)
        return await worker_loop.run(await self.claim_next(queue))

    async def claim_next(self, queue: str, *, alone: bool = True) -> ClaimedJob | None:
        """Take the job of a queue whose turn it is, if there is one.

        Not `alone`: others run in this process, so none is taken that a process has died of, or with.
        """
        claimed = None
        if self._shares.is_fair_claim_due(queue):
            claimed = await self._claim(queue, alone=alone, fairly=True)
        # Other workers may be claiming at this moment everything that a fair claim chooses from.
        return claimed or await self._claim(queue, alone=alone, fairly=False)

    async def run(self, job: ClaimedJob, *, then_from: str | None = None) -> ClaimedJob | None:
        """Run a claimed job to one of its ends. Never raises, but for cancellation.

        Returns the next job of the queue `then_from`, where it could be taken in the statement that ended this one: not
        where only some kinds are run.
        """
        if self.kinds is not None:
            then_from = None
        running = RunningJob(
            job,
            leases=self._leases,
            transaction=self._transaction,
            outbox=self._outbox,
            settings=self._settings,
            provide=self._provide,
            ends_at=self.ends_at,
        )
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
                return await self._attempt(job, running, then_from)
            except LeaseLost:
                logger.warning("lease_lost")
            except Exception as error:
                # Most likely the database is away: the lease runs out, and the job is run again.
                is_expected = is_expected_error(error)
                level = logging.WARNING if is_expected else logging.ERROR
                trace = None if is_expected else error
                logger.log(level, "job_left_to_its_lease", error=reason_of(error), exc_info=trace)
        return None

    async def _attempt(
        self, job: ClaimedJob, running: RunningJob, then_from: str | None
    ) -> ClaimedJob | None:
        handler = self._registry.find(job.kind)
        if handler is None or job.payload_version > handler.type.version:
            await self._leave_to_newer(job, running)
            return None
        try:
            payload = handler.type.payload.model_validate(job.payload)
        except ValidationError as error:
            await self._refuse_payload(running, error)
            return None
        following = await self._work(handler, payload, running, then_from)
        if running.lost:
            logger.warning("lease_lost")
        return following

    async def _work(
        self, handler: JobHandler[Any], payload: BaseModel, running: RunningJob, then_from: str | None
    ) -> ClaimedJob | None:
        following = None
        started = time.monotonic()
        work = asyncio.create_task(handler.run(payload, running))
        heart = asyncio.create_task(running.keep_lease(work))
        limit = asyncio.timeout(handler.type.timeout)
        try:
            async with limit:
                await work
        except TimeoutError as error:
            await self._failed(running, JobTimedOut() if limit.expired() else error)
        except asyncio.CancelledError:
            await self._stopped(running, work)
        except LeaseLost:
            raise
        except Snooze as snooze:
            logger.info("job_snoozed", reason=snooze.reason)
            await running.postpone(
                snooze.delay, outcome=AttemptOutcome.SNOOZED, error={"detail": snooze.reason}
            )
        except Exception as error:  # noqa: BLE001  # whatever a handler raises is its job's failure
            await self._failed(running, error)
        else:
            following = await self._returned(running, then_from)
        finally:
            heart.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await heart
        seconds = round(time.monotonic() - started, 3)
        logger.info("job_run", outcome=running.outcome, seconds=seconds, attempt=running.attempt)
        return following

    async def _returned(self, running: RunningJob, then_from: str | None) -> ClaimedJob | None:
        if running.finished:
            return None
        if running.cancelled:
            await running.end(JobState.CANCELLED)
            return None
        if self.is_paused():
            then_from = None
        if then_from is not None and not self._shares.is_fair_claim_due(then_from):
            following = await running.finish_and_claim(then_from, self._worker_id)
            self._shares.note(then_from, following)
            return following
        await running.end(JobState.SUCCEEDED)
        return None

    async def _stopped(self, running: RunningJob, work: "asyncio.Task[None]") -> None:
        """The coroutine was cancelled: by a lost lease, by a wish to cancel, or because this worker ends."""
        work.cancel()
        if running.lost or running.finished:
            return
        if running.cancelled:
            await running.end(JobState.CANCELLED, abandoned=True)
            return
        this = asyncio.current_task()
        stopping = this is not None and this.cancelling() > 0
        if not stopping and not running.released:
            await self._failed(running, JobFailed("The job cancelled itself."))
            return
        logger.info("job_released")
        await running.postpone(timedelta(0), outcome=AttemptOutcome.GIVEN_BACK, error=None)
        if stopping:
            raise asyncio.CancelledError

    async def _failed(self, running: RunningJob, error: Exception) -> None:
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
            # A fact about the input is the user's to read; what we gave up on, or did not declare, is ours, and rings.
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

    async def _refuse_payload(self, running: RunningJob, error: ValidationError) -> None:
        # Without the input, which the traceback would show.
        wrong = [".".join(map(str, line["loc"])) for line in error.errors(include_input=False)]
        logger.error("job_failed", problem=BadPayload.code, errors=wrong)
        await running.end(JobState.FAILED, error=problem_of(BadPayload(errors=wrong)), abandoned=True)

    async def _leave_to_newer(self, job: ClaimedJob, running: RunningJob) -> None:
        age = (self._clock.now() - job.created_at).total_seconds()
        problem = problem_of(UnknownKind())
        if age > self._settings.jobs_unknown_limit:
            logger.error("job_failed", problem=problem["code"], version=job.payload_version)
            await running.end(JobState.FAILED, error=problem, abandoned=True)
            return
        logger.warning("unknown_job", version=job.payload_version)
        await running.postpone(UNKNOWN_PAUSE, outcome=AttemptOutcome.SNOOZED, error=problem)

    async def _claim(self, queue: str, *, alone: bool, fairly: bool) -> ClaimedJob | None:
        claimed = await self._leases.claim(
            queue,
            token=new_id(),
            worker=self._worker_id,
            lease=timedelta(seconds=self._settings.jobs_lease),
            alone=alone,
            kinds=self.kinds,
            fairly=fairly,
            just_served=self._shares.just_served(queue),
        )
        self._shares.note(queue, claimed, fair=fairly)
        return claimed

    def _backoff(self, attempt: int) -> float:
        """Return the seconds until the next attempt: doubled each time, with jitter so that a crowd spreads out."""
        wait: float = min(
            self._settings.jobs_retry_limit, self._settings.jobs_retry_base * 2 ** (attempt - 1)
        )
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
    """Return what deserves a traceback: an error that is declared as a fact doesn't."""
    return None if isinstance(error, AppError) else error


def _level_of(error: Exception) -> int:
    """Return the log level of a failed attempt: error for mistakes in this program."""
    return logging.WARNING if is_expected_error(error) else logging.ERROR
