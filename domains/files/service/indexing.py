"""Indexing of texts that an older version stored."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from domains.files.repository.files import FileRepository
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.db.fulltext import Piece, pieces_of
from shared.jobs import JobContext

_AT_ONCE = 50
_LONGEST = timedelta(minutes=4)
"""For one run: the next continues where it stopped."""


@dataclass(kw_only=True, eq=False)
class IndexingService:
    """Converts one file per transaction, so that a lock on a file is held briefly."""

    transaction: TransactionFactory
    files: FileRepository
    clock: Clock

    async def run(self, context: JobContext) -> None:
        """Convert all texts, for some minutes at most."""
        until, done = self.clock.now() + _LONGEST, -1
        while done and not context.cancelled and self.clock.now() < until:
            waiting = await self.files.not_indexed(_AT_ONCE)
            done = sum([await self._convert(row.file_id, row.owner_id) for row in waiting])

    async def _convert(self, file_id: UUID, owner_id: UUID) -> bool:
        text = await self.files.old_text(file_id)
        if text is None:
            return False
        pieces = await indexed(text)
        async with self.transaction():
            file = await self.files.lock(file_id, owner_id)
            # A newer text may have been stored meanwhile.
            if file is None or await self.files.old_text(file_id) != text:
                return False
            await self.files.set_text(file_id, owner_id, file.name, pieces)
        return True


async def indexed(text: str) -> list[Piece]:
    """Return the pieces of a text. Made in a thread: a million characters take a second or two."""
    return await asyncio.to_thread(lambda: list(pieces_of(text)))
