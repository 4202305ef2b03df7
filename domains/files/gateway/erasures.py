"""Records of erased accounts, kept in the store because a restored database may be older than an erasure.

One object per erased account, under the day of its erasure. Only its key is read. It holds no personal data.
"""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from domains.files.gateway.store import ObjectFiles
from shared.clock import Clock

FOLDER = "erasures"
_MARGIN = timedelta(days=1)
"""The clocks of the machines that erased and that took the backup may differ by this much."""


class ErasureRecords:
    """Implements `ErasureRecords` of `public.py`: objects named `erasures/<day in UTC>/<account>`."""

    def __init__(self, store: ObjectFiles, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def record(self, user_id: UUID) -> None:
        """Record that an account is erased today.

        Raises:
            StoreFull, StoreUnavailable: it could not be recorded.
        """
        day = self._clock.now().astimezone(UTC).date()
        await self._store.put(f"{FOLDER}/{day.isoformat()}/{user_id}", _text(user_id, day))

    async def since(self, moment: datetime) -> AsyncIterator[UUID]:
        """Yield the accounts that were erased after a moment, and perhaps some that were erased before it."""
        first = (moment.astimezone(UTC) - _MARGIN).date()
        for day, folder in await self._days():
            if day < first:
                continue
            async for key in self._store.keys(folder):
                if (user_id := _uuid_in(key.rsplit("/", 1)[-1])) is not None:
                    yield user_id

    async def prune(self, before: datetime) -> None:
        """Delete the records of the days before the day of a moment."""
        last = before.astimezone(UTC).date()
        for day, folder in await self._days():
            if day < last:
                await self._store.delete_folder(folder)

    async def _days(self) -> list[tuple[date, str]]:
        found = []
        for folder in sorted(await self._store.folders(FOLDER)):
            try:
                found.append((date.fromisoformat(folder.rsplit("/", 1)[-1]), folder))
            except ValueError:
                continue  # not one of ours
        return found


async def _text(user_id: UUID, day: date) -> AsyncIterator[bytes]:
    yield f"{day.isoformat()} {user_id}\n".encode()


def _uuid_in(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
