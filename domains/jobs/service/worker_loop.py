"""What follows a wake-up: the due jobs of a queue, one after the other, or some at a time."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from domains.jobs.schemas import ClaimedJob


class Runner(Protocol):
    """Takes and runs jobs."""

    async def claim_next(self, queue: str, *, alone: bool) -> ClaimedJob | None:
        """Take the job that is due first; one that a crash ended before only if it will be `alone`."""
        ...

    async def run(self, job: ClaimedJob, *, then_from: str | None = None) -> ClaimedJob | None:
        """Run a job; return the next one of a queue, where it could be taken together with this one's end."""
        ...


class WorkerLoop:
    """Runs the due jobs of a queue in slots, each one job at a time, as long as `goes_on` (given how many were taken).

    A slot that has a job opens another one, which looks for more: an empty queue is left alone. A job whose process has
    died before runs while no other does: if it kills this one too, no neighbour is taken for the guilty one.
    """

    def __init__(self, runner: Runner, queue: str, *, slots: int, goes_on: Callable[[int], bool]) -> None:
        self._runner = runner
        self._queue = queue
        self._closed = slots
        self._then_from = queue if slots == 1 else None
        self._goes_on = goes_on
        self._taken = 0
        self._open = 0

    async def run(self, first: ClaimedJob | None) -> int:
        """Run a job, which nothing runs beside, and those that follow it; return how many there were."""
        self._open = 1
        while first is not None and first.crashes:
            first = await self._run(first) or await self._next()
        await self._open_slot(first)
        return self._taken

    async def _open_slot(self, claimed: ClaimedJob | None) -> None:
        """Run a job in a slot, which is counted already: it has looked for the job."""
        self._closed -= 1
        if claimed is None or claimed.crashes or self._closed < 1:
            await self._run_on(claimed)
            return
        # None is in the way of another: what one slot can't claim mustn't cancel what the others run.
        ended = await asyncio.gather(self._run_on(claimed), self._look_for_more(), return_exceptions=True)
        for error in ended:
            if error is not None:
                raise error

    async def _look_for_more(self) -> None:
        self._open += 1
        try:
            claimed = await self._next()
        except BaseException:
            self._open -= 1
            raise
        await self._open_slot(claimed)

    async def _run_on(self, claimed: ClaimedJob | None) -> None:
        try:
            while claimed is not None:
                claimed = await self._run(claimed) or await self._next()
        finally:
            self._open -= 1

    async def _run(self, claimed: ClaimedJob) -> ClaimedJob | None:
        self._taken += 1
        return await self._runner.run(
            claimed, then_from=self._then_from if self._goes_on(self._taken) else None
        )

    async def _next(self) -> ClaimedJob | None:
        """Return the next job of a slot; the last slot that is open takes those too that must be alone."""
        while self._goes_on(self._taken):
            alone = self._open == 1
            claimed = await self._runner.claim_next(self._queue, alone=alone)
            if claimed is not None or alone or self._open > 1:
                return claimed
        return None
