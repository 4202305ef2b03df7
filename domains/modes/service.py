"""The mode that applies to this process, and setting the one of all processes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Protocol

from domains.modes.errors import ReadOnly, UnderMaintenance
from domains.modes.public import Mode
from domains.modes.schemas import ModeRow
from domains.modes.settings import ModesSettings
from shared.audit import Actor, AuditLog
from shared.background import BackgroundLoop, end
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.errors import Unavailable
from shared.logging import get_logger
from shared.measures import Measure

logger = get_logger(__name__)
REFRESH_LOOP = BackgroundLoop("modes")
REFRESH_TIMEOUT = 2.0
"""Seconds that one refresh may hold up the start of a process or of a job."""

RETRY_AFTER = timedelta(minutes=1)
"""Seconds in Retry-After where operators named no end, or one that is over."""


class ModeRows(Protocol):
    """What this needs of the repository."""

    async def find(self) -> ModeRow:
        """Return what operators have set."""
        ...

    async def write(self, mode: Mode, *, message: str | None, until: datetime | None) -> None:
        """Set the mode of all processes."""
        ...


class ModeService:
    """Knows the mode from memory; `refreshing` reads it anew. While it can't be read, the last known one applies.

    `now` counts seconds, as `time.monotonic` does.
    """

    def __init__(
        self,
        rows: ModeRows,
        *,
        transaction: TransactionFactory,
        settings: ModesSettings,
        clock: Clock,
        audit: AuditLog,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rows = rows
        self._transaction = transaction
        self._audit = audit
        self._configured = Mode(settings.mode)
        self._interval = settings.mode_interval
        self._clock = clock
        self._now = now
        self._stored = ModeRow()
        self._fresh_until = -1.0

    @property
    def mode(self) -> Mode:
        """The mode that applies to this process."""
        return max(self._configured, self._stored.mode, key=lambda mode: mode.strictness)

    @property
    def is_normal(self) -> bool:
        """Whether everything is taken."""
        return self.mode is Mode.NORMAL

    async def refresh(self) -> None:
        """Read what operators have set, unless that was done within `mode_interval`."""
        if self._now() < self._fresh_until:
            return
        self._stored = await self._rows.find()
        self._fresh_until = self._now() + self._interval

    async def refresh_once(self) -> None:
        """Read it once, in `REFRESH_TIMEOUT`; where that fails, the last known one applies."""
        run = REFRESH_LOOP.begin()
        try:
            with run:
                async with asyncio.timeout(REFRESH_TIMEOUT):
                    await self.refresh()
        finally:
            run.end()

    @asynccontextmanager
    async def refreshing(self) -> AsyncIterator[None]:
        """Read the mode before any request or job is accepted, and keep reading it meanwhile."""
        await self.refresh_once()
        task = REFRESH_LOOP.start(self.refresh, pause=self._interval)
        try:
            yield
        finally:
            await end(task)

    def refuse(self, *, is_safe: bool) -> None:
        """Refuse a request that the mode does not take.

        Raises:
            ReadOnly, UnderMaintenance: with the operators' message, and when to come back.
        """
        mode = self.mode
        if mode is Mode.MAINTENANCE:
            raise self._unavailable(UnderMaintenance)
        if mode is Mode.READ_ONLY and not is_safe:
            raise self._unavailable(ReadOnly)

    async def stored(self) -> ModeRow:
        """Read what operators have set for all processes."""
        return await self._rows.find()

    async def change(
        self, mode: Mode, actor: Actor, *, message: str | None = None, lasts: timedelta | None = None
    ) -> ModeRow:
        """Set the mode of all processes; each follows within `mode_interval`. It does not end by itself."""
        until = self._clock.now() + lasts if lasts else None
        async with self._transaction():
            await self._rows.write(mode, message=message, until=until)
            await self._audit.note("mode_changed", actor, mode=mode.value)
        logger.info("mode_changed", mode=mode.value, until=until.isoformat() if until else None)
        return await self._rows.find()

    def _unavailable(self, error: type[Unavailable]) -> Unavailable:
        left = (self._stored.until - self._clock.now()) if self._stored.until else RETRY_AFTER
        if left <= timedelta(0):
            left = RETRY_AFTER
        return error(self._stored.message or None, retry_after=left.total_seconds())


class ModeMeasures:
    """Implements `shared.measures.Measures`."""

    fresh_for = 1.0

    def __init__(self, service: ModeService) -> None:
        self._service = service

    async def measure(self) -> Sequence[Measure]:
        """Return which mode applies to this process."""
        present = self._service.mode
        return [
            Measure(
                "tulou_mode",
                "1 for the mode that applies to this process, 0 for the others.",
                [((mode.value,), float(mode is present)) for mode in Mode],
                ("mode",),
            )
        ]
