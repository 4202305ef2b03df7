"""Whether this process lives, and whether it can serve."""

import asyncio
from typing import Annotated, Literal

from fastapi import Depends, Response
from pydantic import BaseModel
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import literal_column, select
from starlette.requests import Request

from shared.errors import AppError
from shared.http.routing import Router
from shared.schemas import Row
from shared.statements import Statement

router = Router(prefix="/health", tags=["health"])
PATIENCE = 2.0
"""Seconds that a dependency has to answer."""


class _One(Row):
    one: int


_ONE = Statement(select(literal_column("1").label("one")), _One)


class Live(BaseModel):
    """The process runs."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """What the process depends on. `degraded`: the API works on, background work waits."""

    status: Literal["ok", "degraded", "unavailable"]
    checks: dict[str, Literal["ok", "down"]]


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


@router.get(
    "/ready", summary="Can it serve?", responses={503: {"model": Ready, "description": "PostgreSQL is away."}}
)
async def ready(
    response: Response,
    database: Annotated[bool, Depends(_database_answers)],
    redis: Annotated[bool, Depends(_redis_answers)],
) -> Ready:
    """Check each dependency: 503 when PostgreSQL is away; without Redis it is `degraded` with 200."""
    checks: dict[str, Literal["ok", "down"]] = {
        "database": "ok" if database else "down",
        "redis": "ok" if redis else "down",
    }
    if not database:
        response.status_code = 503
        return Ready(status="unavailable", checks=checks)
    return Ready(status="ok" if redis else "degraded", checks=checks)
