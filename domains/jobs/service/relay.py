"""The relay: takes back lost jobs, queues what is due, fires schedules, and sends the hints that got lost."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeVar
from uuid import UUID

from domains.jobs.models import OVER, JobState
from domains.jobs.repository.relay import RelayRepository
from domains.jobs.service.abandoning import tell_domains
from domains.jobs.settings import JobsSettings
from shared.background import BackgroundLoop
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.jobs import JobOptions, JobRegistry, NoPayload, Outbox
from shared.logging import get_logger
from shared.rare_warnings import BackOff, RareWarnings
from shared.trace import Attribute, span

logger = get_logger(__name__)
T = TypeVar("T")
BOOKS = BackgroundLoop("relay.books")
HINTS = BackgroundLoop("relay.hints")
ALARM_PAUSE = 10.0
LONGEST_PAUSE = 5.0
"""Seconds until the next try, after several in a row in which the broker failed."""

USED_UP = timedelta(seconds=1)
"""Age at which a hint is sent again when no hint waits."""


class HintPublisher(Protocol):
    """Sends hints to workers, blocking; raises what the broker raises."""

    def waiting(self, queue: str) -> int:
        """Return how many hints no worker has taken yet."""
        ...

    def send(self, queue: str, job_ids: Sequence[UUID]) -> None:
        """Send now."""
        ...


class _BrokerFailed(Exception):
    """The broker raised an error, which is the cause of this one."""


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
        self._warnings = RareWarnings(logger)
        self._broker_pause = BackOff(settings.jobs_relay_interval, LONGEST_PAUSE)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. A database or a broker that is away is waited for, and neither for the other."""
        pause = self._settings.jobs_relay_interval
        async with asyncio.TaskGroup() as loops:
            loops.create_task(BOOKS.run(self.keep_books, pause=pause, stop=stop))
            loops.create_task(HINTS.run(self.send_hints, pause=pause, stop=stop))

    async def keep_books(self) -> None:
        """Take back what is lost, queue what is due, fire schedules, warn of what is late."""
        await self.recover()
        await self.fire_schedules()
        await self._rows.ripen()
        await self._warn_when_late()

    async def recover(self) -> int:
        """Take back the jobs of silent workers, and tell of those that end so; return how many."""
        async with self.transaction():
            lost = await self._rows.recover(max_crashes=self._settings.jobs_max_crashes)
            for job in lost:
                if job.state in OVER:
                    cancelled = job.state is JobState.CANCELLED
                    await tell_domains(self._outbox, job, was_cancelled=cancelled)
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
        """Hint at due jobs while few hints wait; return how many were sent.

        A hint makes a worker look at its queue, so a handful serves a backlog of any length.
        """
        sent = 0
        if not self._broker_pause.is_over:
            return sent
        for queue in self._registry.queues():
            try:
                sent += await self._send_some(queue)
            except _BrokerFailed as failed:  # the rows stay, and are hinted at later
                self._warnings.warn("broker_unreachable", queue=queue, error=type(failed.__cause__).__name__)
                self._broker_pause.fail()
                return sent
        self._broker_pause.succeed()
        self._warnings.settle("broker_unreachable", then="hints_are_sent_again")
        return sent

    async def _send_some(self, queue: str) -> int:
        waiting = await self._ask_broker(lambda: self._hints.waiting(queue))
        grace = timedelta(seconds=self._settings.jobs_hint_grace)
        # Where no hint waits, those that were sent are used up or lost.
        repeat = timedelta(seconds=self._settings.jobs_hint_repeat) if waiting else max(grace, USED_UP)
        room = self._settings.jobs_hint_window - waiting
        # One is marked even if there is no room: it shows that the relay was here.
        taken = await self._rows.take_hints(queue, room=max(1, room), grace=grace, repeat=repeat)
        hinted = taken[: max(0, room)]
        job_ids = [hint.id for hint in hinted]
        try:
            await self._ask_broker(lambda: self._hints.send(queue, job_ids))
        except _BrokerFailed:
            await self._rows.give_hints_back(job_ids)
            raise
        for hint in hinted:
            about: dict[str, Attribute] = {"tulou.job.id": str(hint.id)}
            with span(f"hint {queue}", "producer", parent=hint.traceparent, about=about):
                pass  # all were sent at once: each trace is told of its own
        return len(job_ids)

    async def _ask_broker(self, ask: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(ask)
        except Exception as error:
            raise _BrokerFailed from error

    async def _warn_when_late(self) -> None:
        if time.monotonic() < self._next_alarm:
            return
        self._next_alarm = time.monotonic() + ALARM_PAUSE
        seconds = await self._rows.lateness()
        if seconds > self._settings.jobs_late_alarm:
            logger.error("jobs_are_late", oldest_due_seconds=round(seconds, 1))
