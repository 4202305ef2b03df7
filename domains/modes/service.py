"""Reads the mode that applies to this process, and sets the mode of all processes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from domains.modes.errors import ReadOnly, UnderMaintenance
from domains.modes.public import Mode
from domains.modes.repository import ModeRepository
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
"""Time limit in seconds of a refresh before the start of a process or of a job."""

RETRY_AFTER = timedelta(minutes=1)
"""Retry-After in seconds if operators set no end, or one that has passed."""


@dataclass(kw_only=True, eq=False)
class ModeService:
    """Keeps the mode in memory; `refreshing` reads it again and again. While that fails, the last known one applies.

    `now` counts seconds, as `time.monotonic` does.
    """

    repository: ModeRepository
    settings: ModesSettings
    audit: AuditLog
    transaction: TransactionFactory
    clock: Clock
    now: Callable[[], float] = time.monotonic
    _configured: Mode = field(init=False)
    _stored: ModeRow = field(default_factory=ModeRow, init=False)
    _fresh_until: float = field(default=-1.0, init=False)

    def __post_init__(self) -> None:
        """Read the mode of this process from the settings."""
        self._configured = Mode(self.settings.mode)

    @property
    def mode(self) -> Mode:
        """The mode that applies to this process."""
        return max(self._configured, self._stored.mode, key=lambda mode: mode.strictness)

    @property
    def is_normal(self) -> bool:
        """Whether the mode is normal."""
        return self.mode is Mode.NORMAL

    async def refresh(self) -> None:
        """Read what operators have set, unless that was done within `mode_interval`."""
        if self.now() < self._fresh_until:
            return
        self._stored = await self.repository.find()
        self._fresh_until = self.now() + self.settings.mode_interval

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
        task = REFRESH_LOOP.start(self.refresh, pause=self.settings.mode_interval)
        try:
            yield
        finally:
            await end(task)

    def refuse(self, *, is_safe: bool) -> None:
        """Raise if the mode forbids the request.

        Raises:
            ReadOnly, UnderMaintenance: with the operators' message and Retry-After.
        """
        mode = self.mode
        if mode is Mode.MAINTENANCE:
            raise self._unavailable(UnderMaintenance)
        if mode is Mode.READ_ONLY and not is_safe:
            raise self._unavailable(ReadOnly)

    async def stored(self) -> ModeRow:
        """Read what operators have set for all processes."""
        return await self.repository.find()

    async def change(
        self, mode: Mode, actor: Actor, *, message: str | None = None, lasts: timedelta | None = None
    ) -> ModeRow:
        """Set the mode of all processes; each follows within `mode_interval`. It does not end by itself."""
        until = self.clock.now() + lasts if lasts else None
        async with self.transaction():
            await self.repository.write(mode, message=message, until=until)
            await self.audit.note("mode_changed", actor, mode=mode.value)
        logger.info("mode_changed", mode=mode.value, until=until.isoformat() if until else None)
        return await self.repository.find()

    def _unavailable(self, error: type[Unavailable]) -> Unavailable:
        left = (self._stored.until - self.clock.now()) if self._stored.until else RETRY_AFTER
        if left <= timedelta(0):
            left = RETRY_AFTER
        return error(self._stored.message or None, retry_after=left.total_seconds())


@dataclass(kw_only=True, eq=False)
class ModeMeasures:
    """Implements `shared.measures.Measures`."""

    fresh_for = 1.0
    service: ModeService

    async def measure(self) -> Sequence[Measure]:
        """Return the mode that applies to this process."""
        present = self.service.mode
        return [
            Measure(
                "tulou_mode",
                "1 for the mode that applies to this process, 0 for the others.",
                [((mode.value,), float(mode is present)) for mode in Mode],
                ("mode",),
            )
        ]
