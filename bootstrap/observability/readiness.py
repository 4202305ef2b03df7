"""Checks of what a process depends on."""

import asyncio
import time
from collections.abc import Awaitable
from enum import StrEnum

from redis.asyncio import Redis
from redis.exceptions import RedisError

from bootstrap.container import TulouContainer
from bootstrap.migrations.schema_check import condition
from domains.emails.settings import parse_smtp_url
from shared.errors import AppError, Outage
from shared.logging import get_logger
from shared.throttled_warnings import ThrottledWarnings

logger = get_logger(__name__)
_warnings = ThrottledWarnings(logger)
PATIENCE = 2.0
"""Time limit of a check in seconds."""

FRESH = 1.0
"""Seconds for which a result is cached, so that any number of probes costs one check."""


class State(StrEnum):
    """The state of a dependency: `ok` or the fault."""

    OK = "ok"
    DOWN = Outage.DOWN
    REFUSED = Outage.REFUSED
    NO_DATABASE = Outage.NO_DATABASE
    NO_RIGHTS = Outage.NO_RIGHTS
    READ_ONLY = Outage.READ_ONLY
    DISK_FULL = Outage.DISK_FULL
    EXHAUSTED = Outage.EXHAUSTED
    NOT_MIGRATED = Outage.NOT_MIGRATED
    TOO_NEW = Outage.TOO_NEW


async def _database(readiness: "Readiness") -> State:
    """Also check the schema's version, rights and writes."""
    try:
        async with asyncio.timeout(PATIENCE):
            outage = await condition(readiness.container.database())
    except TimeoutError:
        return State.DOWN
    return State.OK if outage is None else State(outage)


async def _redis(readiness: "Readiness") -> State:
    try:
        async with asyncio.timeout(PATIENCE):
            return State.OK if await readiness.redis.ping() else State.DOWN
    except (RedisError, OSError, TimeoutError):
        return State.DOWN


async def _store(readiness: "Readiness") -> State:
    try:
        async with asyncio.timeout(PATIENCE):
            await readiness.container.files.store().check()
    except (AppError, TimeoutError):
        return State.DOWN
    return State.OK


async def _mail_server(readiness: "Readiness") -> State:
    """Whether the server accepts connections. A whole SMTP session for each check would load the server."""
    url = readiness.container.settings().emails_smtp_url
    if url is None:
        return State.OK
    server = parse_smtp_url(url.get_secret_value())
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(server.host, server.port)
    except (OSError, TimeoutError):
        return State.DOWN
    # Without waiting for its end, which says nothing about the server.
    writer.close()
    return State.OK


class Readiness:
    """The dependencies of a process, and the last results of their checks."""

    def __init__(self, container: TulouContainer, redis: Redis) -> None:
        self.container = container
        self.redis = redis
        self._lock = asyncio.Lock()
        self._fresh_until = 0.0
        self._checks: dict[str, State] = {}
        self.is_stopping = False
        """Whether the process stops soon: it still serves, but proxies should send no new requests."""

    async def checks(self) -> dict[str, State]:
        """Return the state of each dependency, at most `FRESH` seconds old."""
        async with self._lock:
            if time.monotonic() >= self._fresh_until:
                asked = VITAL | USEFUL
                answers = await asyncio.gather(*(_state(name, ask(self)) for name, ask in asked.items()))
                self._update(dict(zip(asked, answers, strict=True)))
                self._fresh_until = time.monotonic() + FRESH
            return self._checks

    def _update(self, checks: dict[str, State]) -> None:
        # A first result without faults is no change, so a start logs nothing.
        if checks != self._checks and (self._checks or wrong_with(checks)):
            log = logger.warning if wrong_with(checks) else logger.info
            log("readiness_changed", **{name: state.value for name, state in checks.items()})
        self._checks = checks


async def _state(name: str, answer: Awaitable[State]) -> State:
    """Return the state of a dependency. Any error means that it can't be used."""
    try:
        return await answer
    except Exception as error:  # noqa: BLE001  # as above
        _warnings.error("readiness_unknown", dependency=name, exc_info=error)
        return State.DOWN


# Requests need these; without the others only background work waits.
VITAL = {"database": _database, "store": _store}
USEFUL = {"redis": _redis, "mail": _mail_server}


def wrong_with(checks: dict[str, State]) -> set[str]:
    """Return the dependencies that are not as they should be."""
    return {name for name, state in checks.items() if state is not State.OK}
