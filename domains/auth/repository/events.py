"""SQL about the audit log."""

from datetime import datetime

from sqlalchemy import DateTime, func, select
from sqlmodel import col

from domains.auth.models import SecurityEvent
from domains.auth.schemas.events import SecurityEventFilter, SecurityEventRow
from shared.db.models import columns
from shared.db.pagination import Listing, Page, PageRequest
from shared.db.query import param, query
from shared.db.repository import Repository

_LISTING = Listing(
    select(*columns(SecurityEvent, SecurityEventRow)),
    SecurityEventRow,
    key=col(SecurityEvent.id),
    sorts={"created_at": col(SecurityEvent.created_at)},
    may_be_stale=True,
    filters={
        "kind": col(SecurityEvent.event) == param("kind"),
        "user_id": col(SecurityEvent.user_id) == param("user_id"),
        "address": col(SecurityEvent.address) == param("address"),
        "since": col(SecurityEvent.created_at) >= param("since"),
        "until": col(SecurityEvent.created_at) < param("until"),
    },
)


class EventRepository(Repository):
    """Writes the audit log (`add`). No statement changes an event."""

    async def page(self, request: PageRequest, filters: SecurityEventFilter) -> Page[SecurityEventRow]:
        """Return one page of events."""
        return await self.fetch_page(_LISTING, request, filters.model_dump())

    # The application's role may not delete security events: bootstrap/migrations/grants.py.
    @query(select(func.auth.prune_security_events(param("before", DateTime(timezone=True)))), changes=True)
    async def sweep(self, before: datetime) -> None:
        """Delete events older than `before`. The database keeps those of the last 90 days in any case."""
