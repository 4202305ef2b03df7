"""The rows that are read of keys."""

from shared.schemas import Row


class KeyRow(Row):
    """The state of a request, and its response if it was answered."""

    content: bytes
    status: int | None
    headers: list[tuple[str, str]] | None
    body: bytes | None
    streamed: bytes | None
