"""What came of it: counted in the sinks, where effects are, and compared with what was promised."""

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from uuid import UUID

from tools.faults.harness import Harness

_LIVING = """
SELECT count(*) FROM jobs.jobs
WHERE kind = ANY($1::text[]) AND state IN ('scheduled', 'queued', 'running', 'retrying')
"""
_OUTCOMES = """
SELECT job.id, job.state, job.attempt, job.crashes, count(effect.id) AS effects,
    extract(epoch FROM min(effect.at) - job.created_at)::float AS wait
FROM jobs.jobs AS job LEFT JOIN faults.effects AS effect ON effect.job_id = job.id
WHERE job.kind = ANY($1::text[]) GROUP BY job.id
"""
EXACT = ("faults.effect", "faults.newer", "faults.changed", "faults.tick")
"""Kinds whose effect commits with their end."""


@dataclass
class Row:
    """One line of the table. `broken` says which expectations failed; a fault is survived when there is none."""

    accepted: int = 0
    done: int = 0
    lost: int = 0
    doubled: int = 0
    uncertain: int = 0
    longest_wait: float = 0.0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def is_green(self) -> bool:
        """Whether everything was as expected."""
        return not (self.lost or self.doubled or self.broken)

    def note(self, text: str) -> None:
        """Add a figure."""
        self.notes.append(text)

    def expect(self, holds: object, text: str) -> None:
        """Demand something; `text` says what was seen."""
        (self.notes if holds else self.broken).append(text)


@dataclass(frozen=True)
class Outcome:
    """What became of one job."""

    id: UUID
    state: str
    attempt: int
    crashes: int
    effects: int
    wait: float | None


async def drain(harness: Harness, *, seconds: float, kinds: Collection[str] = EXACT) -> float:
    """Wait until no job lives any more, or the time is over; return how long it took."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        if await harness.value(_LIVING, list(kinds)) == 0:
            break
        await asyncio.sleep(0.2)
    return time.monotonic() - started


async def outcomes(harness: Harness, *, kinds: Collection[str] = EXACT) -> list[Outcome]:
    """Return what became of each job that has a row."""
    return [Outcome(**dict(row)) for row in await harness.fetch(_OUTCOMES, list(kinds))]


async def judge(
    harness: Harness,
    row: Row,
    accepted: Collection[UUID],
    *,
    kinds: Collection[str] = EXACT,
    may_fail: bool = False,
    drain_seconds: float = 60,
) -> list[Outcome]:
    """Let the system come to rest, then count: every accepted job has one effect, and no job has two.

    Jobs whose POST was interrupted are held to the same: their rows may be there. `may_fail` accepts jobs that end
    failed or cancelled, if they left no effect.
    """
    drained = await drain(harness, seconds=drain_seconds, kinds=kinds)
    found = {outcome.id: outcome for outcome in await outcomes(harness, kinds=kinds)}
    row.accepted += len(accepted)
    row.done += sum(1 for job_id in accepted if job_id in found and found[job_id].effects)
    ended_otherwise = {"failed", "cancelled"} if may_fail else set()
    row.lost += sum(1 for job_id in accepted if job_id not in found)
    row.lost += sum(
        1 for outcome in found.values() if not outcome.effects and outcome.state not in ended_otherwise
    )
    row.doubled += sum(outcome.effects - 1 for outcome in found.values() if outcome.effects > 1)
    row.longest_wait = max([row.longest_wait, *(outcome.wait or 0 for outcome in found.values())])
    untrue = [o for o in found.values() if (o.effects > 0) != (o.state == "succeeded")]
    row.expect(not untrue, f"{len(untrue)} jobs whose state and effects disagree")
    row.note(f"idle {drained:.1f} s after the load")
    return list(found.values())
