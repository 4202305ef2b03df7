"""What a fault changes about a program under test: told by the environment, put in place before it is composed."""

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from dependency_injector import providers
from sqlalchemy import and_, or_
from sqlmodel import col

from bootstrap.container import TulouContainer
from shared.clock import Clock


class ShiftedClock(Clock):
    """A clock that is wrong by some seconds."""

    def __init__(self, seconds: float) -> None:
        self._shift = timedelta(seconds=seconds)

    def now(self) -> datetime:
        """Return a wrong moment."""
        return super().now() + self._shift


class FileClock(Clock):
    """A clock that another process sets: a file holds the seconds since 1970."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> datetime:
        """Return what the file says."""
        return datetime.fromtimestamp(float(self._file.read_text()), UTC)


def switch(name: str) -> str:
    """Return the value of a switch, "" if it isn't set."""
    return os.environ.get(f"FAULTS_{name}", "")


def before_composing() -> None:
    """Put in place what changes modules."""
    if offset := switch("CLOCK_OFFSET"):
        _shift_time(float(offset))
    if pause := switch("UNKNOWN_PAUSE"):
        from domains.jobs.service import attempt

        attempt.UNKNOWN_PAUSE = timedelta(seconds=float(pause))
    if chance := switch("RELAY_DIES"):
        _die_around_sending(float(chance))
    if switch("WAKE_UP") == "off":
        from domains.jobs.gateway.wake_ups import RedisWakeUps

        RedisWakeUps.send_soon = _send_nothing
    if switch("BUG") == "no_fence":
        _remove_fence()
    if switch("BUG") == "early_wake_up":
        _wake_up_before_commit()


def after_composing(container: TulouContainer) -> None:
    """Put in place what changes the container."""
    if offset := switch("CLOCK_OFFSET"):
        container.clock.override(providers.Object(ShiftedClock(float(offset))))
    if file := switch("CLOCK_FILE"):
        container.clock.override(providers.Object(FileClock(Path(file))))


def _shift_time(seconds: float) -> None:
    """Make the whole process believe another time; the monotonic clock has nothing to do with it."""
    real: Callable[[], float] = time.time
    time.time = lambda: real() + seconds


def _send_nothing(_wake_ups: Any, _queue: str, _job_id: UUID) -> None:
    """Leave every job to the relay."""


def _die_around_sending(chance: float) -> None:
    """Kill this process sometimes just before a wake-up is sent, sometimes just after it."""
    from domains.jobs.gateway.wake_ups import RedisWakeUps

    send = RedisWakeUps.send

    def deadly(wake_ups: RedisWakeUps, queue: str, job_ids: Sequence[UUID]) -> None:
        if random.random() < chance / 2:
            os.kill(os.getpid(), signal.SIGKILL)
        send(wake_ups, queue, job_ids)
        if random.random() < chance / 2:
            os.kill(os.getpid(), signal.SIGKILL)

    RedisWakeUps.send = deadly


def _remove_fence() -> None:
    """The first deliberate bug: any worker may finish a job, also without the lease."""
    from domains.jobs.models import Job
    from domains.jobs.repository import leases
    from shared.db.query import param, query

    token, given = col(Job.lease_token), param("token")
    anybody = and_(col(Job.id) == param("job_id"), or_(token == given, token != given, token.is_(None)))
    finish = leases.finish_if_held._generate()
    finish._where_criteria = (anybody,)
    method = leases.LeaseRepository._finish
    leases.LeaseRepository._finish = query(finish)(method.__wrapped__)
    # The heartbeat often notices in time that the job is lost, which is no protection.
    repository = leases.LeaseRepository
    repository.beat, repository.look = _blind(repository.beat), _blind(repository.look)


def _blind(look: Any) -> Any:
    from domains.jobs.schemas import LeaseRow

    async def look_away(*arguments: Any, **more: Any) -> LeaseRow:
        return await look(*arguments, **more) or LeaseRow(cancel_requested_at=None)

    return look_away


def _wake_up_before_commit() -> None:
    """The second deliberate bug: a worker gets the wake-up for a row that it can't see yet."""
    from domains.jobs.service.store import RowJobStore

    make = RowJobStore.__init__

    def make_hasty(store: RowJobStore, **parts: Any) -> None:
        make(store, **parts, when_committed=lambda callback: callback())

    RowJobStore.__init__ = make_hasty
