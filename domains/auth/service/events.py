"""Reading the trail of security events: a page, or all that match as lines of JSON."""

from collections.abc import AsyncGenerator
from datetime import datetime

from domains.auth.repository.events import EventRepository
from domains.auth.schemas import EventFilter, SecurityEventBody
from shared.clock import Clock
from shared.db.pagination import Page, PageRequest

AT_ONCE = 200
"""Events that an export holds in memory: 200 KiB at the most."""


class EventService:
    """What administrators see of the trail."""

    def __init__(self, events: EventRepository, *, clock: Clock) -> None:
        self.events = events
        self.clock = clock

    async def page(self, request: PageRequest, wanted: EventFilter) -> Page[SecurityEventBody]:
        """Return one page of events."""
        found = await self.events.page(request, wanted)
        return Page(
            data=[SecurityEventBody.of(row) for row in found.data],
            next_cursor=found.next_cursor,
            total=found.total,
        )

    async def lines(self, wanted: EventFilter) -> AsyncGenerator[bytes]:
        """Yield all events that match, a line of JSON each, the oldest first; none that is written from now on.

        Between two pieces no connection is held.
        """
        wanted = wanted.model_copy(update={"until": _earlier(wanted.until, self.clock.now())})
        request: PageRequest | None = PageRequest(limit=AT_ONCE, sort="created_at")
        while request is not None:
            page = await self.page(request, wanted)
            yield b"".join(event.model_dump_json().encode() + b"\n" for event in page.data)
            request = request.model_copy(update={"cursor": page.next_cursor}) if page.next_cursor else None


def _earlier(until: datetime | None, now: datetime) -> datetime:
    return now if until is None else min(until, now)
