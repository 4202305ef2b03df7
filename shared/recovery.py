"""What each domain does about rows that come from the past, when a backup was restored."""

from datetime import datetime
from typing import Protocol


class Recovery(Protocol):
    """Implemented by a domain; bootstrap collects all of them and calls each in the transaction of the restore."""

    async def recover(self, taken_at: datetime) -> str:
        """Undo what was true only when the backup was taken; return what was done in a few words."""
        ...
