"""Idempotency of requests: the Protocol of the store of responses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from shared.errors import BadRequest, Conflict, Unprocessable


class MalformedKey(BadRequest):
    """The `Idempotency-Key` is empty, longer than 255 characters, repeated, or not printable ASCII."""

    code = "idempotency.malformed_key"
    detail = "Send one Idempotency-Key of 1 to 255 printable ASCII characters."


class KeyRequired(BadRequest):
    """The operation requires an `Idempotency-Key`, because it can't be undone."""

    code = "idempotency.key_required"
    remedy = "Send a new key with each new operation, and the same key with each repetition."
    detail = "Send an Idempotency-Key, a new one for each operation, so that a retry does not repeat it."


class KeyReused(Unprocessable):
    """The key was used with another path, query or body."""

    code = "idempotency.key_reused"
    remedy = (
        "Use a new key for a new request. To repeat a request, send exactly the same path, query and body."
    )
    detail = (
        "This Idempotency-Key was used with another path, query or body. Use a new key for a new request."
    )


class InProgress(Conflict):
    """The first request with this key is still in progress."""

    code = "idempotency.in_progress"
    title = "Still being done"
    detail = (
        "The first request with this Idempotency-Key is still being worked on. Send it again in a moment."
    )


class StoredResponseTooLarge(Conflict):
    """The first request with this key succeeded, but its response was too large to be stored."""

    code = "idempotency.answer_not_kept"
    remedy = "Nothing. The operation was executed. Read the resource at `location`."
    title = "Done already"
    detail = (
        "The first request with this Idempotency-Key succeeded and is not repeated. Its response was too large to be"
        " stored. `answered` is its status, `location` the URL of what it created."
    )


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request with a key. `identity`: caller, method, route and key; `content`: all else that must be equal."""

    owner_id: UUID | None
    identity: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class Attempt:
    """The right to do a request, until another attempt takes it over."""

    identity: bytes
    token: UUID


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response as it was sent. `body` None: too large to store; `streamed`: digest of a streamed request body."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes | None
    streamed: bytes | None = None


class StoredResponses(Protocol):
    """Keeps answers for as long as a request may be sent again."""

    max_body: int
    """Bytes of a body that is kept."""

    async def begin(self, request: KeyedRequest) -> Attempt | StoredResponse:
        """Commit that the request is being worked on, or return how it was answered.

        Raises:
            KeyReused: the key was used with other content.
            InProgress: it is being worked on, and its lease hasn't run out.
        """
        ...

    async def finish(self, attempt: Attempt, response: StoredResponse) -> None:
        """Keep the answer in the open transaction, which holds the effect too.

        Raises:
            InProgress: another attempt has taken over; let it pass, so that the effect is rolled back.
        """
        ...

    async def give_up(self, attempt: Attempt) -> None:
        """Release the key, because nothing was done."""
        ...
