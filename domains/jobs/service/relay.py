"""The relay: takes back lost jobs, queues what is due, fires schedules, and sends the hints that got lost."""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from domains.jobs.repository.relay import RelayRepository
from domains.jobs.settings import JobsSettings
from shared.clock import Clock
from shared.database import TransactionFactory
from shared.errors import DatabaseUnavailable
from shared.jobs import JobOptions, JobRegistry, NoPayload, Outbox
from shared.logging import get_logger

logger = get_logger(__name__)
ALARM_PAUSE = 10.0


class HintPublisher(Protocol):
    """Sends hints to workers, blocking."""

    def send(self, queue: str, job_ids: Sequence[UUID]) -> None:
        """Send now; raises what the broker raises."""
        ...


class Relay:
    """Any number may run side by side; none leads."""

    def __init__(
        self,
        *,
        rows: RelayRepository,
        registry: JobRegistry,
        outbox: Outbox,
        hints: HintPublisher,
        transaction: TransactionFactory,
        settings: JobsSettings,
        clock: Clock,
    ) -> None:
        self._rows = rows
        self._registry = registry
        self._outbox = outbox
        self._hints = hints
        self.transaction = transaction
        self._settings = settings
        self._clock = clock
        self._fired: dict[str, datetime] = {}
        self._next_alarm = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. A database or a broker that is away is waited for."""
        while not stop.is_set():
            try:
                await self.round()
            except DatabaseUnavailable:
                logger.warning("relay_waits_for_the_database")
            except Exception:
                logger.exception("relay_round_failed")
            try:
                async with asyncio.timeout(self._settings.jobs_relay_interval):
                    await stop.wait()
            except TimeoutError:
                continue

    async def round(self) -> None:
        """Do everything once."""
        await self.recover()
        await self.fire_schedules()
        await self._rows.ripen()
        await self.send_hints()
        await self._warn_when_late()

    async def recover(self) -> int:
        """Take back the jobs of silent workers; return how many."""
        lost = await self._rows.recover(max_crashes=self._settings.jobs_max_crashes)
        for job in lost:
            logger.warning(
                "lease_expired",
                job_id=str(job.id),
                kind=job.kind,
                worker=job.worker_id,
                crashes=job.crashes,
                now=job.state.value,
            )
        return len(lost)

    async def fire_schedules(self) -> None:
        """Write one job for each recurring one whose time has come, whatever the number of relays."""
        for definition in self._registry.recurring():
            moment = definition.schedule.latest(self._clock.now()) if definition.schedule else None
            if moment is None or self._fired.get(definition.kind) == moment:
                continue
            async with self.transaction():
                if await self._rows.take_fire(definition.kind, moment):
                    await self._outbox.enqueue(
                        definition.kind, NoPayload(), JobOptions(unique_key="recurring")
                    )
            self._fired[definition.kind] = moment

    async def send_hints(self) -> int:
        """Hint at due jobs that no worker knows of, a window at a time; return how many."""
        repeat = timedelta(seconds=self._settings.jobs_hint_repeat)
        grace = timedelta(seconds=self._settings.jobs_hint_grace)
        under_way = await self._rows.under_way(repeat=repeat)
        sent = 0
        for queue in self._registry.queues():
            room = self._settings.jobs_hint_window - under_way.get(queue, 0)
            if room > 0:
                taken = await self._rows.take_hints(queue, room=room, grace=grace, repeat=repeat)
                sent += await self._send(queue, [hint.id for hint in taken])
        return sent

    async def _send(self, queue: str, job_ids: list[UUID]) -> int:
        if not job_ids:
            return 0
        try:
            await asyncio.to_thread(self._hints.send, queue, job_ids)
        except Exception as error:  # noqa: BLE001  # whatever the broker raises: the rows stay, and are hinted at later
            logger.warning("broker_unreachable", queue=queue, error=type(error).__name__)
            await self._rows.give_hints_back(job_ids)
            return 0
        return len(job_ids)

    async def _warn_when_late(self) -> None:
        if time.monotonic() < self._next_alarm:
            return
        self._next_alarm = time.monotonic() + ALARM_PAUSE
        seconds = await self._rows.lateness()
        if seconds > self._settings.jobs_late_alarm:
            logger.error("jobs_are_late", oldest_due_seconds=round(seconds, 1))
