"""The worker loop: claims the due jobs of a queue and runs them, one after the other or several at a time."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from domains.jobs.models import JobState
from domains.jobs.repository.leases import LeaseRepository
from domains.jobs.schemas import ClaimedJob
from domains.jobs.service.attempt import Attempt
from domains.jobs.service.fair_claims import FairClaims
from domains.jobs.service.running import Provide, RunningJob
from domains.jobs.settings import JobsSettings
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.ids import new_id
from shared.jobs import JobRegistry, Outbox


@dataclass(eq=False)
class JobRunner:
    """One for each worker process.

    Attributes:
        ends_at: returns when this worker must have ended (`time.monotonic()`), or None. Once it returns a time, the
            worker takes no further job; at that time it releases those that it has, and their attempt isn't counted.
        kinds: kinds of jobs that it runs; None: all.
        slots: how many jobs of a queue it runs at a time, where that isn't one.
        is_paused: while it returns true, no job begins.
    """

    leases: LeaseRepository
    registry: JobRegistry
    transaction: TransactionFactory
    outbox: Outbox
    settings: JobsSettings
    clock: Clock
    provide: Provide
    worker_id: str
    ends_at: Callable[[], float | None] = lambda: None
    kinds: Collection[str] | None = None
    slots: Mapping[str, int] = field(default_factory=dict)
    is_paused: Callable[[], bool] = lambda: False
    _shares: FairClaims = field(init=False, default_factory=FairClaims)

    async def run_worker_loop(self, queue: str) -> int:
        """Run due jobs of a queue for a while, in fair order; return how many were run."""
        until = time.monotonic() + self.settings.jobs_drain_seconds

        def goes_on(taken: int) -> bool:
            is_within_limits = taken < self.settings.jobs_drain_limit and time.monotonic() < until
            return is_within_limits and self.ends_at() is None and not self.is_paused()

        return 0 if self.is_paused() else await _Slots(self, queue, goes_on).run()

    async def claim_next(self, queue: str, *, alone: bool = True) -> ClaimedJob | None:
        """Claim the next job of a queue in fair order, if there is one.

        `alone`: no other job runs in this process, so the next one may be a job whose process has died before.
        """
        claimed = None
        if self._shares.is_fair_claim_due(queue):
            claimed = await self._claim(queue, alone=alone, fairly=True)
        # Other workers may be claiming at this moment everything that a fair claim chooses from.
        return claimed or await self._claim(queue, alone=alone, fairly=False)

    async def run(self, job: ClaimedJob, *, then_from: str | None = None) -> ClaimedJob | None:
        """Run a claimed job and record its outcome. Raises nothing but cancellation.

        Returns the next job of the queue `then_from`, if the statement that ended this one could claim it. It can't
        where only some kinds are run.
        """
        running = RunningJob(
            job,
            leases=self.leases,
            transaction=self.transaction,
            outbox=self.outbox,
            settings=self.settings,
            provide=self.provide,
            ends_at=self.ends_at,
        )
        attempt = Attempt(
            job=job,
            running=running,
            registry=self.registry,
            settings=self.settings,
            clock=self.clock,
            succeed=partial(self._succeed, then_from=then_from if self.kinds is None else None),
        )
        return await attempt.run()

    async def _succeed(self, running: RunningJob, *, then_from: str | None) -> ClaimedJob | None:
        # The combined statement claims by turn only; a fair claim is a statement of its own.
        if then_from is None or self.is_paused() or self._shares.is_fair_claim_due(then_from):
            await running.end(JobState.SUCCEEDED)
            return None
        following = await running.finish_and_claim(then_from, self.worker_id)
        self._shares.note(then_from, following)
        return following

    async def _claim(self, queue: str, *, alone: bool, fairly: bool) -> ClaimedJob | None:
        claimed = await self.leases.claim(
            queue,
            token=new_id(),
            worker=self.worker_id,
            lease=timedelta(seconds=self.settings.jobs_lease),
            alone=alone,
            kinds=self.kinds,
            fairly=fairly,
            just_served=self._shares.just_served(queue),
        )
        self._shares.note(queue, claimed, fair=fairly)
        return claimed


class _Slots:
    """The slots of a queue, from a wake-up until no job is due or `goes_on` (given how many were taken) is false.

    Each slot runs one job at a time. A slot that has a job opens another one, which looks for more: an empty queue is
    not polled. A job whose process has died before runs while no other does: if it kills this process too, no other job
    is suspected.
    """

    def __init__(self, runner: JobRunner, queue: str, goes_on: Callable[[int], bool]) -> None:
        self._runner = runner
        self._queue = queue
        self._goes_on = goes_on
        self._closed = runner.slots.get(queue, 1)
        # A single slot claims its next job with the statement that ends the one before.
        self._then_from = queue if self._closed == 1 else None
        self._taken = 0
        self._open = 1

    async def run(self) -> int:
        """Run due jobs; return how many there were."""
        first = await self._runner.claim_next(self._queue)
        while first is not None and first.crashes:
            first = await self._run(first) or await self._next()
        await self._fill(first)
        return self._taken

    async def _fill(self, claimed: ClaimedJob | None) -> None:
        """Run a job in a slot that is counted as open, and those that follow it; meanwhile open another slot."""
        self._closed -= 1
        # A job that has crashed before runs alone, so no other slot is opened beside it.
        if claimed is None or claimed.crashes or self._closed < 1:
            await self._run_on(claimed)
            return
        # An error in one slot must not cancel the jobs of the others.
        ended = await asyncio.gather(self._run_on(claimed), self._open_another(), return_exceptions=True)
        for error in ended:
            if error is not None:
                raise error

    async def _open_another(self) -> None:
        self._open += 1
        try:
            claimed = await self._next()
        except BaseException:
            self._open -= 1
            raise
        await self._fill(claimed)

    async def _run_on(self, claimed: ClaimedJob | None) -> None:
        try:
            while claimed is not None:
                claimed = await self._run(claimed) or await self._next()
        finally:
            self._open -= 1

    async def _run(self, claimed: ClaimedJob) -> ClaimedJob | None:
        self._taken += 1
        then_from = self._then_from if self._goes_on(self._taken) else None
        return await self._runner.run(claimed, then_from=then_from)

    async def _next(self) -> ClaimedJob | None:
        """Claim the next job of a slot; the last open slot also takes those that must run alone."""
        while self._goes_on(self._taken):
            alone = self._open == 1
            claimed = await self._runner.claim_next(self._queue, alone=alone)
            if claimed is not None or alone or self._open > 1:
                return claimed
        return None
