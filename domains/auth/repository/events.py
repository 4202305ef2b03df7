"""SQL about the trail of security events."""

from datetime import datetime

from sqlalchemy import DateTime, bindparam, func, select

from domains.auth.schemas import PrunedRow
from shared.repository import Repository
from shared.statements import Statement

# The application's role may not delete security events: bootstrap/migrations/grants.py.
_SWEEP = Statement(
    select(
        func.auth.prune_security_events(bindparam("before", type_=DateTime(timezone=True))).label("number")
    ),
    PrunedRow,
    changes=True,
)


class EventRepository(Repository):
    """Writes the trail (`add`); nothing changes a line of it."""

    async def sweep(self, before: datetime) -> None:
        """Delete events older than `before`. The database keeps those of the last 90 days in any case."""
        await self.database.execute(_SWEEP, before=before)
