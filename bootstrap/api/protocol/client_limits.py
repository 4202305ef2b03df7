"""Time limits for clients, and the description of a refused request."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import Scope

from shared.errors import AppError


@dataclass(frozen=True, kw_only=True)
class ClientLimits:
    """Time limits in seconds, and size limits of a head.

    At least `body_bytes` of a body must arrive in each `body` seconds, and all of it in `whole_body`. `stop` is the
    time that incomplete bodies have left when the process begins to stop.
    """

    head: float
    body: float
    whole_body: float
    body_bytes: int
    write: float
    stop: float
    max_headers: int
    max_head_bytes: int


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A request that the protocol answers in place of the application.

    `asked` is its scope if the application has received it. `headers` are those that were read before the refusal.
    `is_request` is false for a connection that is refused before its first request.
    """

    error: AppError
    asked: Scope | None
    headers: Sequence[tuple[bytes, bytes]]
    method: str
    client: tuple[str, int] | None
    started: float
    is_request: bool = True
