"""Reading the audit log: a page, or all that match as lines of JSON."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime

from domains.auth.repository.events import EventRepository
from domains.auth.schemas.events import SecurityEventBody, SecurityEventFilter
from shared.clock import Clock
from shared.db.pagination import Page, PageRequest

BATCH_SIZE = 200
"""Events that an export holds in memory: 200 KiB at the most."""


@dataclass(kw_only=True, eq=False)
class EventService:
    """What administrators see of the audit log."""

    events: EventRepository
    clock: Clock

    async def page(self, request: PageRequest, filters: SecurityEventFilter) -> Page[SecurityEventBody]:
        """Return one page of events."""
        return (await self.events.page(request, filters)).map(SecurityEventBody.of)

    async def lines(self, filters: SecurityEventFilter) -> AsyncGenerator[bytes]:
        """Yield all events that match, a line of JSON each, the oldest first; none that is written from now on.

        Between two pieces no connection is held.
        """
        filters = filters.model_copy(update={"until": _earlier(filters.until, self.clock.now())})
        request: PageRequest | None = PageRequest(limit=BATCH_SIZE, sort="created_at")
        while request is not None:
            page = await self.page(request, filters)
            yield b"".join(event.model_dump_json().encode() + b"\n" for event in page.data)
            request = request.model_copy(update={"cursor": page.next_cursor}) if page.next_cursor else None


def _earlier(until: datetime | None, now: datetime) -> datetime:
    return now if until is None else min(until, now)
