"""The relay: requeues lost jobs, queues due jobs, fires schedules, and sends lost wake-ups again."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from domains.jobs.gateway.wake_ups import WakeUps
from domains.jobs.models import OVER, JobState
from domains.jobs.repository.relay import RelayRepository
from domains.jobs.service.cancelling import publish_job_abandoned
from domains.jobs.settings import JobsSettings
from shared.background import BackgroundLoop
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.jobs import JobOptions, JobRegistry, NoPayload, Outbox
from shared.logging import get_logger
from shared.throttled_warnings import BackOff, ThrottledWarnings
from shared.trace import Attribute, span

logger = get_logger(__name__)
T = TypeVar("T")
MAINTENANCE = BackgroundLoop("relay.maintenance")
WAKE_UPS = BackgroundLoop("relay.wake_ups")
ALARM_PAUSE = 10.0
LONGEST_PAUSE = 5.0
"""Longest pause in seconds after failures of the broker."""

REPEAT_WHEN_EMPTY = timedelta(seconds=1)
"""Age at which a wake-up is sent again when no wake-up waits."""


class _BrokerFailed(Exception):
    """The broker raised an error, which is the cause of this one."""


@dataclass(eq=False)
class Relay:
    """Any number may run at the same time, without a leader."""

    rows: RelayRepository
    registry: JobRegistry
    outbox: Outbox
    wake_ups: WakeUps
    transaction: TransactionFactory
    settings: JobsSettings
    clock: Clock

    def __post_init__(self) -> None:
        self._fired: dict[str, datetime] = {}
        self._next_alarm = 0.0
        self._warnings = ThrottledWarnings(logger)
        self._broker_pause = BackOff(self.settings.jobs_relay_interval, LONGEST_PAUSE)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. While the database or the broker is down, the other's work goes on."""
        pause = self.settings.jobs_relay_interval
        async with asyncio.TaskGroup() as loops:
            loops.create_task(MAINTENANCE.run(self.maintain_jobs, pause=pause, stop=stop))
            loops.create_task(WAKE_UPS.run(self.send_wake_ups, pause=pause, stop=stop))

    async def maintain_jobs(self) -> None:
        """Requeue lost jobs, queue due jobs, fire schedules, and warn of late jobs."""
        await self.recover()
        await self.fire_schedules()
        await self.rows.promote_due()
        await self._warn_when_late()

    async def recover(self) -> int:
        """Requeue jobs of silent workers, and publish events of those that end; return their number."""
        async with self.transaction():
            lost = await self.rows.recover(max_crashes=self.settings.jobs_max_crashes)
            for job in lost:
                if job.state in OVER:
                    cancelled = job.state is JobState.CANCELLED
                    await publish_job_abandoned(self.outbox, job, was_cancelled=cancelled)
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
        """Write one job for each due schedule, for any number of relays."""
        for job in self.registry.types():
            fire_time = job.schedule.latest(self.clock.now()) if job.schedule else None
            if fire_time is None or self._fired.get(job.kind) == fire_time:
                continue
            async with self.transaction():
                if await self.rows.take_fire(job.kind, fire_time):
                    await self.outbox.enqueue(job, NoPayload(), JobOptions(unique_key="recurring"))
            self._fired[job.kind] = fire_time

    async def send_wake_ups(self) -> int:
        """Send wake-ups for due jobs while few wait; return how many were sent.

        A wake-up makes a worker look at its queue, so a few serve a backlog of any length.
        """
        sent = 0
        if not self._broker_pause.is_over:
            return sent
        for queue in self.registry.queues():
            try:
                sent += await self._send_some(queue)
            except _BrokerFailed as failed:  # the rows stay due and get a wake-up later
                self._warnings.warn("broker_unreachable", queue=queue, error=type(failed.__cause__).__name__)
                self._broker_pause.fail()
                return sent
        self._broker_pause.succeed()
        self._warnings.resolve("broker_unreachable", then="wake_ups_sent_again")
        return sent

    async def _send_some(self, queue: str) -> int:
        waiting = await self._ask_broker(lambda: self.wake_ups.waiting(queue))
        grace = timedelta(seconds=self.settings.jobs_hint_grace)
        # If no wake-up waits in Redis, those that were sent have been used or lost.
        repeat = (
            timedelta(seconds=self.settings.jobs_hint_repeat) if waiting else max(grace, REPEAT_WHEN_EMPTY)
        )
        capacity = self.settings.jobs_hint_window - waiting
        # One is marked even without capacity, which shows that the relay works.
        taken = await self.rows.mark_wake_ups(queue, limit=max(1, capacity), grace=grace, repeat=repeat)
        marked = taken[: max(0, capacity)]
        job_ids = [wake_up.id for wake_up in marked]
        try:
            await self._ask_broker(lambda: self.wake_ups.send(queue, job_ids))
        except _BrokerFailed:
            await self.rows.unmark_wake_ups(job_ids)
            raise
        for wake_up in marked:
            about: dict[str, Attribute] = {"tulou.job.id": str(wake_up.id)}
            with span(f"wake-up {queue}", "producer", parent=wake_up.traceparent, about=about):
                pass  # all were sent in one round trip; each trace gets its own span
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
        seconds = await self.rows.lateness()
        if seconds > self.settings.jobs_late_alarm:
            logger.error("jobs_are_late", oldest_due_seconds=round(seconds, 1))
