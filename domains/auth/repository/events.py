"""SQL about the trail of security events."""

from datetime import datetime

from sqlalchemy import bindparam, delete
from sqlmodel import col

from domains.auth.models import SecurityEvent
from shared.repository import Repository
from shared.statements import Nothing, Statement

_SWEEP = Statement(delete(SecurityEvent).where(col(SecurityEvent.created_at) < bindparam("before")), Nothing)


class EventRepository(Repository):
    """Writes the trail (`add`); nothing changes a line of it."""

    async def sweep(self, before: datetime) -> None:
        """Delete lines that are older than they need to be kept."""
        await self.database.execute(_SWEEP, before=before)
