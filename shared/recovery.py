"""Repairs after a restore, which each domain makes to rows that are out of date."""

from datetime import datetime
from typing import Protocol


class Recovery(Protocol):
    """Implemented by a domain; bootstrap collects all of them and calls each in the transaction of the restore."""

    async def recover(self, taken_at: datetime) -> str:
        """Undo what was true only when the backup was taken; return a short description for the operator."""
        ...
