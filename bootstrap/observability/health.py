"""Liveness and readiness of this process."""

from typing import Literal

from fastapi import Response
from pydantic import BaseModel, Field
from starlette.requests import Request

from bootstrap.container import served_domains
from bootstrap.observability.process_state import process_state
from bootstrap.observability.readiness import VITAL, State, wrong_with
from shared.http.routing import Router

router = Router(prefix="/health", tags=["health"])
RETRY_AFTER = 2
"""Seconds after which something may have changed."""


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
    state = process_state(request)
    served, readiness = served_domains(state.container), state.readiness
    checks = await readiness.checks()
    down = wrong_with(checks)
    if down & set(VITAL) or readiness.is_stopping:
        response.status_code = 503
        response.headers["Retry-After"] = str(RETRY_AFTER)
        return Ready(status="unavailable", checks=checks, domains=served)
    return Ready(status="degraded" if down else "ok", checks=checks, domains=served)
