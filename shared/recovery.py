"""What each domain does about rows that come from the past, when a backup was restored."""

from typing import Protocol


class Recovery(Protocol):
    """Implemented by a domain; bootstrap collects all of them and calls them once, before anything runs."""

    async def recover(self) -> str:
        """Undo what was true of the moment alone; return what was done in a few words. Safe to call again."""
        ...
