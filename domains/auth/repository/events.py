"""SQL about the audit log."""

from datetime import datetime

from sqlalchemy import DateTime, bindparam, func, select
from sqlmodel import col

from domains.auth.models import SecurityEvent
from domains.auth.schemas.events import PrunedRow, SecurityEventFilter, SecurityEventRow
from shared.db.models import columns
from shared.db.pagination import Listing, Page, PageRequest
from shared.db.repository import Repository
from shared.db.statement import Statement

# The application's role may not delete security events: bootstrap/migrations/grants.py.
_SWEEP = Statement(
    select(
        func.auth.prune_security_events(bindparam("before", type_=DateTime(timezone=True))).label("number")
    ),
    PrunedRow,
    changes=True,
)


_LISTING = Listing(
    select(*columns(SecurityEvent, SecurityEventRow)),
    SecurityEventRow,
    key=col(SecurityEvent.id),
    sorts={"created_at": col(SecurityEvent.created_at)},
    may_be_stale=True,
    filters={
        "kind": col(SecurityEvent.event) == bindparam("kind"),
        "user_id": col(SecurityEvent.user_id) == bindparam("user_id"),
        "address": col(SecurityEvent.address) == bindparam("address"),
        "since": col(SecurityEvent.created_at) >= bindparam("since"),
        "until": col(SecurityEvent.created_at) < bindparam("until"),
    },
)


class EventRepository(Repository):
    """Writes the audit log (`add`); nothing changes a line of it."""

    async def page(self, request: PageRequest, filters: SecurityEventFilter) -> Page[SecurityEventRow]:
        """Return one page of events."""
        return await self.fetch_page(_LISTING, request, filters.model_dump())

    async def sweep(self, before: datetime) -> None:
        """Delete events older than `before`. The database keeps those of the last 90 days in any case."""
        await self.database.execute(_SWEEP, before=before)
