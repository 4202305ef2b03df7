"""Liveness and readiness of this process."""

import asyncio
import time
from collections.abc import Awaitable
from enum import StrEnum
from typing import Literal

from fastapi import Response
from pydantic import BaseModel, Field
from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.requests import Request

from bootstrap.migrations.schema_check import condition
from domains.emails.settings import parse_smtp_url
from shared.errors import AppError, Outage
from shared.http.routing import Router
from shared.logging import get_logger
from shared.throttled_warnings import ThrottledWarnings

logger = get_logger(__name__)
_warnings = ThrottledWarnings(logger)
router = Router(prefix="/health", tags=["health"])
PATIENCE = 2.0
"""Time limit of a check in seconds."""

FRESH = 1.0
"""Seconds for which a result is cached, so that any number of probes costs one check."""


RETRY_AFTER = 2
"""Seconds after which something may have changed."""


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


class Live(BaseModel):
    """The process runs."""

    status: Literal["ok"] = Field(
        "ok", description="Always `ok`: a process that is not alive sends no response."
    )


class Ready(BaseModel):
    """State of the process and its dependencies. `degraded`: requests work, background work waits."""

    status: Literal["ok", "degraded", "unavailable"] = Field(description="The state of the whole.")
    checks: dict[str, State] = Field(
        description="State of each: `ok`, `down`, or another fault. Later versions may have more states.",
        examples=[{"database": "ok", "store": "ok", "redis": "ok", "mail": "ok"}],
    )
    domains: list[str] = Field(
        description="Domains whose routes this process serves.", examples=[["files", "users"]]
    )


@router.get("/live", summary="Liveness")
async def live() -> Live:
    """Returns 200 while the process runs, whatever the state of its dependencies."""
    return Live()


async def _database(request: Request) -> State:
    """Also check the schema's version, rights and writes."""
    try:
        async with asyncio.timeout(PATIENCE):
            outage = await condition(request.app.state.container.database())
    except TimeoutError:
        return State.DOWN
    return State.OK if outage is None else State(outage)


async def _redis(request: Request) -> State:
    redis: Redis = request.app.state.redis
    try:
        async with asyncio.timeout(PATIENCE):
            return State.OK if await redis.ping() else State.DOWN
    except (RedisError, OSError, TimeoutError):
        return State.DOWN


async def _store(request: Request) -> State:
    try:
        async with asyncio.timeout(PATIENCE):
            await request.app.state.container.files.store().check()
    except (AppError, TimeoutError):
        return State.DOWN
    return State.OK


async def _mail_server(request: Request) -> State:
    """Whether the server accepts connections. A whole SMTP session for each check would load the server."""
    url = request.app.state.container.settings().emails_smtp_url
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
    """The last results of the checks of a process."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._fresh_until = 0.0
        self._checks: dict[str, State] = {}
        self.is_stopping = False
        """Whether the process stops soon: it still serves, but proxies should send no new requests."""

    async def checks(self, request: Request) -> dict[str, State]:
        """Return the state of each dependency, at most `FRESH` seconds old."""
        async with self._lock:
            if time.monotonic() >= self._fresh_until:
                asked = VITAL | USEFUL
                answers = await asyncio.gather(*(_state(name, ask(request)) for name, ask in asked.items()))
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


@router.get(
    "/ready",
    summary="Readiness",
    responses={503: {"model": Ready, "description": "PostgreSQL or the file store can't be used."}},
)
async def ready(request: Request, response: Response) -> Ready:
    """Checks each dependency. 503 if PostgreSQL or the file store can't be used, or if the process is about to stop.

    PostgreSQL is ready if it has a schema that this version works with (`not_migrated` or `too_new` otherwise), accepts
    writes (`read_only`), and gives this process its rights (`no_rights`) and a connection (`refused`, `no_database`,
    `exhausted`, `down`). `degraded`, with 200, if Redis or the mail server is down: requests work, and background work
    is done later.
    """
    served: list[str] = request.app.state.domains
    readiness: Readiness = request.app.state.readiness
    checks = await readiness.checks(request)
    down = wrong_with(checks)
    if down & set(VITAL) or readiness.is_stopping:
        response.status_code = 503
        response.headers["Retry-After"] = str(RETRY_AFTER)
        return Ready(status="unavailable", checks=checks, domains=served)
    return Ready(status="degraded" if down else "ok", checks=checks, domains=served)
