"""Public API of jobs: the jobs that work on a resource, and jobs that ended without their handler."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from shared.events import Event


class JobAbandoned(Event):
    """A job was cancelled or failed without its handler deciding so: its resource is left as it was.

    It was cancelled (while it waited, or before its next attempt), it was interrupted (by a cancel that it didn't heed,
    by its last timeout), its last attempt raised an error that is not final by itself, no handler could read it, or its
    worker died while it ran: too often, or after a wish to cancel.
    """

    job_id: UUID
    kind: str
    resource_type: str | None
    resource_id: UUID | None
    was_cancelled: bool = False


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A short form of a job, for resources that list their unfinished work."""

    id: UUID
    kind: str
    status: str
    url: str


class Jobs(Protocol):
    """Queries for other domains."""

    async def of_resources(self, resource_ids: list[UUID]) -> dict[UUID, list[JobSummary]]:
        """Return the unfinished jobs of each resource; resources without any are missing."""
        ...

    async def summaries(self, job_ids: list[UUID]) -> list[JobSummary]:
        """Return these jobs, in this order, also while the transaction that wrote them is open."""
        ...
