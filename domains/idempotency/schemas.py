"""The rows that are read of keys."""

from uuid import UUID

from shared.schemas import Row


class TokenRow(Row):
    """Who works on a request now."""

    token: UUID


class KeyRow(Row):
    """How far a request is, and how it was answered."""

    content: bytes
    status: int | None
    headers: list[tuple[str, str]] | None
    body: bytes | None
    streamed: bytes | None
