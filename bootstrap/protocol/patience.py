"""How long clients are waited for, and what is known of a request that is refused."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import Scope

from shared.errors import AppError


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a client is waited for, in seconds, and how much of a head is read.

    In each `body` seconds at least `body_bytes` of a body have to arrive, and all of it in `whole_body`. `stop` is
    what half-sent bodies have left when the process is told to end.
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
    """A request that is answered here, and what is known of it. `asked` is its scope, if the application has it.

    `headers` are those that were read before it was refused.
    `is_request` is false of a connection that is refused before it has asked anything.
    """

    error: AppError
    asked: Scope | None
    headers: Sequence[tuple[bytes, bytes]]
    method: str
    client: tuple[str, int] | None
    started: float
    is_request: bool = True
