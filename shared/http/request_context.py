"""State of one request, shared by server, middleware and endpoint."""

from dataclasses import dataclass
from typing import Any

from fastapi.routing import APIRoute
from starlette.types import Scope

from shared.identity import AccessClaims, Principal

_KEY = "tulou"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that the server gave by itself, complete at `ended`."""

    status: int
    request_id: str
    sent_bytes: int
    ended: float
    trace_id: str | None = None

    @property
    def begun(self) -> float:
        """When it began."""
        return self.ended


@dataclass(slots=True)
class RequestContext:
    """One object for each request, under one key of the ASGI scope, so that copies of a scope share it.

    `peer` is the address that the connection comes from, `client` of the scope the one that a trusted proxy forwarded.
    `refusal` was sent in place of the application's answer. `is_abandoned`: the process ends before the answer does.
    """

    claims: AccessClaims | None = None
    principal: Principal | None = None
    route: APIRoute | None = None
    peer: tuple[str, int] | None = None
    has_absolute_target: bool = False
    refusal: Refusal | None = None
    is_abandoned: bool = False


def context_of(scope: Scope | dict[str, Any]) -> RequestContext:
    """Return the context of a request, which its first reader creates."""
    context: RequestContext | None = scope.get(_KEY)
    if context is None:
        context = scope[_KEY] = RequestContext()
    return context
