"""What follows a hint: the due jobs of a queue, one after the other, or some at a time."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from domains.jobs.schemas import ClaimedJob


class Runner(Protocol):
    """Takes and runs jobs."""

    async def claim_next(self, queue: str) -> ClaimedJob | None:
        """Take the job that is due first."""
        ...

    async def run(self, job: ClaimedJob, *, then_from: str | None = None) -> ClaimedJob | None:
        """Run a job; return the next one of a queue, where it could be taken together with this one's end."""
        ...


class Drain:
    """Runs the due jobs of a queue in lanes, each one job at a time, as long as `goes_on` (given how many were taken).

    A lane that has a job opens another one, which looks for more: an empty queue is left alone.
    """

    def __init__(self, runner: Runner, queue: str, *, lanes: int, goes_on: Callable[[int], bool]) -> None:
        self._runner = runner
        self._queue = queue
        self._lanes = lanes
        self._goes_on = goes_on
        self._taken = 0

    async def run(self, first: ClaimedJob | None) -> int:
        """Run a job and those that follow it; return how many there were."""
        await self._open_lane(first)
        return self._taken

    async def _open_lane(self, claimed: ClaimedJob | None) -> None:
        if claimed is None:
            return
        self._lanes -= 1
        if self._lanes < 1:
            await self._run_on(claimed)
            return
        # None is in the way of another: what one lane can't claim mustn't cancel what the others run.
        ended = await asyncio.gather(self._run_on(claimed), self._look_for_more(), return_exceptions=True)
        for error in ended:
            if error is not None:
                raise error

    async def _look_for_more(self) -> None:
        await self._open_lane(await self._next())

    async def _run_on(self, claimed: ClaimedJob | None) -> None:
        while claimed is not None:
            self._taken += 1
            then_from = self._queue if self._goes_on(self._taken) else None
            claimed = await self._runner.run(claimed, then_from=then_from) or await self._next()

    async def _next(self) -> ClaimedJob | None:
        return await self._runner.claim_next(self._queue) if self._goes_on(self._taken) else None
