"""Making texts searchable that a version before has kept."""

import asyncio
from datetime import timedelta
from uuid import UUID

from domains.files.repository.files import FileRepository
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.db.fulltext import Piece, pieces_of
from shared.jobs import JobContext

_AT_ONCE = 50
_LONGEST = timedelta(minutes=4)
"""For one run: the next goes on where it stopped."""


class IndexingService:
    """Converts file by file, each in a transaction of its own, so that nobody waits for more than one file's lock."""

    def __init__(self, *, transaction: TransactionFactory, files: FileRepository, clock: Clock) -> None:
        self.transaction = transaction
        self.files = files
        self.clock = clock

    async def run(self, context: JobContext) -> None:
        """Convert what there is, for some minutes at most."""
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
            # It may have been done meanwhile, with a text that is newer.
            if file is None or await self.files.old_text(file_id) != text:
                return False
            await self.files.set_text(file_id, owner_id, file.name, pieces)
        return True


async def indexed(text: str) -> list[Piece]:
    """Return the pieces of a text. Made in a thread: a million characters take a second or two."""
    return await asyncio.to_thread(lambda: list(pieces_of(text)))
