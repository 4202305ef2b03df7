"""When a worker claims with regard to running jobs, and which participant it served last."""

import time

from domains.jobs.schemas import ClaimedJob

FAIR_CLAIM_PAUSE = 0.25
"""Seconds between two fair claims of a queue. Claims between them go by turn only, which costs a quarter as much. A job
that takes longer than this is always followed by a fair claim."""


class FairClaims:
    """One for each worker process."""

    def __init__(self) -> None:
        self._fair_claim_at: dict[str, float] = {}
        self._served: dict[str, str] = {}

    def is_fair_claim_due(self, queue: str) -> bool:
        """Return whether the next claim should be a fair one."""
        fair_claim_at = self._fair_claim_at.get(queue)
        return fair_claim_at is None or time.monotonic() - fair_claim_at >= FAIR_CLAIM_PAUSE

    def just_served(self, queue: str) -> str | None:
        """Return the participant whose job was claimed last.

        A single worker runs nothing while it claims: without this memory, one owner could have two long jobs in a row.
        """
        return self._served.get(queue)

    def note(self, queue: str, claimed: ClaimedJob | None, *, fair: bool = False) -> None:
        """Record a claim, and whether it was a fair one."""
        if fair:
            self._fair_claim_at[queue] = time.monotonic()
        if claimed is not None:
            self._served[queue] = claimed.participant
