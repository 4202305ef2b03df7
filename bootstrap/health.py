"""Whether this process lives, and whether it can serve."""

import asyncio
import time
from typing import Literal

from fastapi import Response
from pydantic import BaseModel, Field
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import literal_column, select
from starlette.requests import Request

from domains.emails.settings import parse_smtp_url
from shared.errors import AppError
from shared.http.routing import Router
from shared.schemas import Row
from shared.statements import Statement

router = Router(prefix="/health", tags=["health"])
PATIENCE = 2.0
"""Seconds that a dependency has to answer."""

FRESH = 1.0
"""Seconds for which an answer is given again: any number of probes costs the dependencies one question."""


class _One(Row):
    one: int


_ONE = Statement(select(literal_column("1").label("one")), _One)


class Live(BaseModel):
    """The process runs."""

    status: Literal["ok"] = Field("ok", description="Always `ok`: what doesn't live doesn't answer.")


class Ready(BaseModel):
    """What the process depends on. `degraded`: the API works on, background work waits."""

    status: Literal["ok", "degraded", "unavailable"] = Field(description="What all of it amounts to.")
    checks: dict[str, Literal["ok", "down"]] = Field(
        description="What each of them is.",
        examples=[{"database": "ok", "store": "ok", "redis": "ok", "mail": "ok"}],
    )
    domains: list[str] = Field(
        description="Domains whose routes this process serves.", examples=[["files", "users"]]
    )


@router.get("/live", summary="Is the process alive?")
async def live() -> Live:
    """Answer as long as the process runs, whatever its dependencies do."""
    return Live()


async def _database_answers(request: Request) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            return await request.app.state.container.database().fetch_one(_ONE) is not None
    except (AppError, TimeoutError):
        return False


async def _redis_answers(request: Request) -> bool:
    redis: Redis = request.app.state.redis
    try:
        async with asyncio.timeout(PATIENCE):
            return bool(await redis.ping())
    except (RedisError, OSError, TimeoutError):
        return False


async def _store_answers(request: Request) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            await request.app.state.container.files.store().check()
    except (AppError, TimeoutError):
        return False
    return True


async def _mail_server_answers(request: Request) -> bool:
    """Tell whether something listens: a whole conversation for each look would be rude."""
    url = request.app.state.container.settings().emails_smtp_url
    if url is None:
        return True
    server = parse_smtp_url(url.get_secret_value())
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(server.host, server.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


class Readiness:
    """What the dependencies of a process said last."""

    def __init__(self) -> None:
        self._asking = asyncio.Lock()
        self._fresh_until = 0.0
        self._checks: dict[str, Literal["ok", "down"]] = {}
        self.is_leaving = False
        """Whether the process stops soon: it serves, but should be sent nothing new."""

    async def checks(self, request: Request) -> dict[str, Literal["ok", "down"]]:
        """Return how each dependency is, or was a moment ago."""
        async with self._asking:
            if time.monotonic() >= self._fresh_until:
                asked = VITAL | USEFUL
                answers = await asyncio.gather(*(ask(request) for ask in asked.values()))
                self._checks = {
                    name: "ok" if answers else "down" for name, answers in zip(asked, answers, strict=True)
                }
                self._fresh_until = time.monotonic() + FRESH
            return self._checks


VITAL = {"database": _database_answers, "store": _store_answers}
USEFUL = {"redis": _redis_answers, "mail": _mail_server_answers}


@router.get(
    "/ready",
    summary="Can it serve?",
    responses={503: {"model": Ready, "description": "PostgreSQL or the file store is away."}},
)
async def ready(request: Request, response: Response) -> Ready:
    """Ask each dependency. 503 when PostgreSQL or the file store is away, or this process is about to stop.

    `degraded`, with 200, when Redis or the mail server is: the API works on, and what it accepts is done later.
    """
    served: list[str] = request.app.state.domains
    readiness: Readiness = request.app.state.readiness
    checks = await readiness.checks(request)
    down = {name for name, state in checks.items() if state == "down"}
    if down & set(VITAL) or readiness.is_leaving:
        response.status_code = 503
        return Ready(status="unavailable", checks=checks, domains=served)
    return Ready(status="degraded" if down else "ok", checks=checks, domains=served)
