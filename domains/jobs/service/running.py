"""A running job: the handler's `JobContext`, and the heartbeat that renews the lease."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from domains.jobs.models import AttemptOutcome, JobState
from domains.jobs.repository.leases import LeaseRepository
from domains.jobs.schemas import ClaimedJob, LeaseRow, ProgressValues
from domains.jobs.service.cancelling import publish_job_abandoned
from domains.jobs.settings import JobsSettings
from shared.background import BackgroundLoop, Run
from shared.db.database import TransactionFactory
from shared.db.transaction import after_commit
from shared.errors import DatabaseUnavailable
from shared.ids import new_id
from shared.jobs import LeaseLost, Outbox

BEATS = BackgroundLoop("jobs.heartbeat", round_timeout=10.0)
T = TypeVar("T")
Provide = Callable[[str, type[Any]], Any]
PROGRESS_PAUSE = 0.25
"""Seconds between two writes of progress."""

WRITE_RETRY_PAUSE = 0.5
"""Seconds between two attempts to write the outcome while the database is down."""

LOOK_PAUSE = 1.0
"""Seconds between two checks for a request to cancel."""


class RunningJob:
    """Implements `shared.jobs.JobContext`."""

    def __init__(
        self,
        job: ClaimedJob,
        *,
        leases: LeaseRepository,
        transaction: TransactionFactory,
        outbox: Outbox,
        settings: JobsSettings,
        provide: Provide,
        ends_at: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._job = job
        self._ends_at = ends_at
        self._leases = leases
        self._transaction = transaction
        self._outbox = outbox
        self._settings = settings
        self._provide = provide
        self._progress: ProgressValues = (0, None, None)
        self._moved = asyncio.Event()
        self.cancelled = False
        self.finished = False
        self.lost = False
        self.released = False
        self.outcome = ""
        """Outcome of the attempt for the log; empty while it runs."""

        self._ending = False

    @property
    def job_id(self) -> UUID:
        """Id of the job's row."""
        return self._job.id

    @property
    def attempt(self) -> int:
        """1 on the first attempt."""
        return self._job.attempt

    @property
    def max_attempts(self) -> int:
        """The last attempt's number."""
        return self._job.max_attempts

    @property
    def is_last_attempt(self) -> bool:
        """Whether a failure now is final."""
        return self.attempt >= self.max_attempts

    def provide(self, path: str, type_: type[T]) -> T:
        """Return a provider of the composed container."""
        found: T = self._provide(path, type_)
        return found

    async def progress(self, current: int, total: int | None = None, message: str | None = None) -> None:
        """Set the progress; the heartbeat writes it within half a second."""
        self._progress = (current, total, message)
        self._moved.set()
        # Lets the heartbeat run, also in a handler that never waits for anything else.
        await asyncio.sleep(0)

    async def confirm(self) -> None:
        """Check in the open transaction that the lease still holds."""
        if not await self._leases.confirm(self.job_id, self._job.lease_token):
            self.lost = True
            raise LeaseLost

    async def finish(self, result: Mapping[str, Any] | None = None) -> None:
        """Mark the job succeeded in the open transaction."""
        async with self._transaction():
            await self._end(JobState.SUCCEEDED, result=None if result is None else dict(result))
            # Not before: the transaction may still roll back.
            after_commit(self._note_finished)

    async def finish_and_claim(self, queue: str, worker: str) -> ClaimedJob | None:
        """Mark the job succeeded and claim the next one of the queue, in one statement."""
        self._ending = True
        succession = await self._write_until_stored(
            lambda: self._leases.finish_and_claim(
                self.job_id,
                self._job.lease_token,
                progress=self._progress,
                next_token=new_id(),
                worker=worker,
                lease=timedelta(seconds=self._settings.jobs_lease),
                queue=queue,
            )
        )
        self.lost = succession.finished_id is None
        if not self.lost:
            self._note_finished()
        return succession.claimed

    async def end(
        self, outcome: JobState, *, error: dict[str, Any] | None = None, abandoned: bool = False
    ) -> None:
        """End the job. `abandoned`: its handler did not decide so, and `JobAbandoned` is published.

        Raises:
            LeaseLost: another worker has the job.
        """

        async def write() -> None:
            if not abandoned:
                await self._end(outcome, error=error)
                return
            async with self._transaction(separate=True):
                await self._end(outcome, error=error)
                cancelled = outcome is JobState.CANCELLED
                await publish_job_abandoned(self._outbox, self._job, was_cancelled=cancelled)

        await self._write_until_stored(write)
        self.outcome = outcome.value
        self._note_finished()

    async def postpone(
        self, delay: timedelta, *, outcome: AttemptOutcome, error: dict[str, Any] | None
    ) -> None:
        """Postpone the job, or end it if it was cancelled meanwhile. Raises LeaseLost."""

        async def write() -> JobState | None:
            async with self._transaction(separate=True):
                state = await self._leases.postpone(
                    self.job_id, self._job.lease_token, delay=delay, outcome=outcome, error=error
                )
                if state is JobState.CANCELLED:
                    await publish_job_abandoned(self._outbox, self._job, was_cancelled=True)
            return state

        state = await self._write_until_stored(write)
        if state is None:
            raise LeaseLost
        self.outcome = state.value if state is JobState.CANCELLED else outcome.value

    async def keep_lease(self, work: "asyncio.Task[None]") -> None:
        """Send heartbeats until cancelled. An error does not end them, because every write is fenced by the lease.

        Cancels `work` when the lease is lost, when the job ignores a cancel request, or when this worker must end.
        """
        loop = asyncio.get_running_loop()
        next_beat = loop.time() + self._settings.jobs_heartbeat
        asked_at: float | None = None
        beats = Run(BEATS)
        while True:
            moved = await self._wait_for_progress()
            ends_at = self._ends_at()
            if ends_at is not None and time.monotonic() >= ends_at:
                work.cancel()
                self.released = True
                return
            row = None
            with beats:
                async with asyncio.timeout(BEATS.round_timeout):
                    if moved or loop.time() >= next_beat:
                        row = await self._beat(moved=moved)
                        next_beat = loop.time() + self._settings.jobs_heartbeat
                    else:
                        row = await self._look()
            if beats.failed:
                continue
            if row is None and self._ending:
                continue  # ended by this process; if that was rolled back, the lease token still protects the row
            if row is None:
                self.lost = True
                work.cancel()
                return
            if row.cancel_requested_at is not None:
                self.cancelled = True
                # The grace period starts when this worker learns of the request, not when the client
                # sent it.
                asked_at = asked_at or loop.time()
                if loop.time() - asked_at >= self._settings.jobs_cancel_grace:
                    work.cancel()
                    return

    async def _wait_for_progress(self) -> bool:
        """Return True if there is progress to write, False if it is time to read the row."""
        await asyncio.sleep(PROGRESS_PAUSE)
        try:
            async with asyncio.timeout(min(LOOK_PAUSE, self._settings.jobs_heartbeat)):
                await self._moved.wait()
        except TimeoutError:
            return False
        self._moved.clear()
        return True

    async def _look(self) -> LeaseRow | None:
        if self.finished:
            return LeaseRow(cancel_requested_at=None)
        return await self._leases.look(self.job_id, self._job.lease_token)

    async def _beat(self, *, moved: bool) -> LeaseRow | None:
        if self.finished:
            return LeaseRow(cancel_requested_at=None)
        return await self._leases.beat(
            self.job_id,
            self._job.lease_token,
            lease=timedelta(seconds=self._settings.jobs_lease),
            progress=self._progress,
            moved=moved,
        )

    async def _end(
        self, outcome: JobState, *, result: dict[str, Any] | None = None, error: dict[str, Any] | None = None
    ) -> None:
        self._ending = True
        if not await self._leases.finish(
            self.job_id, self._job.lease_token, outcome, progress=self._progress, result=result, error=error
        ):
            self.lost = True
            raise LeaseLost

    async def _write_until_stored(self, write: Callable[[], Awaitable[T]]) -> T:
        """Write how the job ended. Retries while the database is unavailable and the lease may still hold.

        It is safe to repeat: if an earlier write has committed, the lease is gone, and this one changes nothing.
        """
        until = time.monotonic() + self._settings.jobs_lease
        while True:
            try:
                return await write()
            except DatabaseUnavailable:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(WRITE_RETRY_PAUSE)

    def _note_finished(self) -> None:
        self.finished = True
        self.outcome = self.outcome or JobState.SUCCEEDED.value
