"""`Idempotency-Key`: a request that is sent again runs once and gets the same response."""

import hashlib
import re
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive

from shared.errors import DatabaseUnavailable
from shared.http.parameters import parse_parameters
from shared.http.request_context import context_of
from shared.idempotency import (
    Attempt,
    InProgress,
    KeyedRequest,
    KeyReused,
    MalformedKey,
    StoredResponse,
    StoredResponses,
    StoredResponseTooLarge,
)
from shared.logging import get_logger

logger = get_logger(__name__)
EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])
METHODS = frozenset({"POST", "PATCH"})
REPLAYED = "Idempotency-Replayed"
_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_KEPT_HEADERS = frozenset({"cache-control", "content-type", "etag", "link", "location", "retry-after"})
_DESCRIBING = ("content-disposition", "repr-digest")
"""Headers that distinguish streamed bodies before they are read."""
_LENGTH_BYTES = 8
_HANDLES_TOKENS = "__handles_tokens__"
_REQUIRES_KEY = "__requires_idempotency_key__"


def handles_tokens(endpoint: EndpointT) -> EndpointT:
    """Let an endpoint ignore `Idempotency-Key`, because its requests or answers hold tokens and must not be stored."""
    setattr(endpoint, _HANDLES_TOKENS, True)
    return endpoint


def requires_idempotency_key(endpoint: EndpointT) -> EndpointT:
    """Mark an endpoint that rejects requests without a key, because its effect can't be undone."""
    setattr(endpoint, _REQUIRES_KEY, True)
    return endpoint


def takes_key(route: APIRoute) -> bool:
    """Return whether an operation reads `Idempotency-Key`."""
    return bool(METHODS & (route.methods or set())) and not getattr(route.endpoint, _HANDLES_TOKENS, False)


def needs_key(endpoint: Callable[..., Any]) -> bool:
    """Return whether the endpoint was marked by `requires_idempotency_key`."""
    return getattr(endpoint, _REQUIRES_KEY, False) is True


class IdempotentRequest:
    """One request with a key. The endpoint wrapper calls `begin`, the owner of the transaction the other methods."""

    def __init__(self, request: Request, store: StoredResponses, *, route: str, streams: bool) -> None:
        self.digested_body = DigestedBody(request) if streams else None
        self._request = request
        self._route = route
        self._key = _key_of(request)
        self._store = store
        self._attempt: Attempt | None = None

    @property
    def is_ours(self) -> bool:
        """Whether this attempt does the work."""
        return self._attempt is not None

    async def begin(self) -> Response | None:
        """Return the response of an earlier attempt; None: run the endpoint.

        Called after caller and input were checked.

        Raises:
            KeyReused, InProgress, StoredResponseTooLarge: there is nothing to do, and nothing to answer.
        """
        content = b"" if self.digested_body else hashlib.sha256(await self._request.body()).digest()
        begun = await self._store.begin(self._keyed(content))
        if isinstance(begun, Attempt):
            self._attempt = begun
            return None
        if self.digested_body is not None:
            await self._compare(self.digested_body, begun.streamed or b"")
        return _replayed(begun)

    async def keep(self, response: Response) -> None:
        """Store the response in the transaction of the effect.

        Raises:
            InProgress: another attempt has taken over.
        """
        if self._attempt is None:
            return
        body = bytes(getattr(response, "body", b""))
        whole = hasattr(response, "body") and len(body) <= self._store.max_body
        answer = StoredResponse(
            status=response.status_code,
            headers=[(name, value) for name, value in response.headers.items() if name in _KEPT_HEADERS],
            body=body if whole else None,
            streamed=self.digested_body.so_far() if self.digested_body else None,
        )
        await self._store.finish(self._attempt, answer)

    async def give_up(self) -> None:
        """Release the key because nothing was done, so that a retry can start at once.

        If this fails, the lease expires.
        """
        if self._attempt is None:
            return
        try:
            await self._store.give_up(self._attempt)
        except DatabaseUnavailable:
            logger.warning("idempotency_key_not_released")

    async def _compare(self, digested_body: "DigestedBody", kept: bytes) -> None:
        """Read a streamed body to see whether it is the one that was answered."""
        if await digested_body.read_to_end(at_most=_length_of(kept)) != kept:
            raise KeyReused

    def _keyed(self, body: bytes) -> KeyedRequest:
        request, owner = self._request, self._owner()
        caller = str(owner) if owner else f"address {request.client.host if request.client else None}"
        content = [request.url.path, request.url.query, _media_type(request)]
        if self.digested_body is not None:
            content += [request.headers.get(name, "") for name in self.digested_body.described_by]
        return KeyedRequest(
            owner_id=owner,
            identity=_joined(caller, request.method, self._route, self._key),
            content=_joined(*content) + b"\x00" + body,
        )

    def _owner(self) -> UUID | None:
        principal = context_of(self._request.scope).principal
        return principal.user_id if principal else None


class DigestedBody:
    """A body that is read as a stream, digested in passing. The boundary of a form, which is random, is left out."""

    def __init__(self, request: Request) -> None:
        self.request = Request(request.scope, self._receive)
        self._source: Receive = request.receive
        self._digest = hashlib.sha256()
        self._length = 0
        self._boundary = _boundary_of(request.headers.get("content-type", ""))
        self._rest = b""
        self.described_by = _DESCRIBING if self._boundary else ("content-length", *_DESCRIBING)

    def so_far(self) -> bytes:
        """Return the digest and the length of what has passed."""
        digest = self._digest.copy()
        digest.update(self._rest)
        return digest.digest() + (self._length + len(self._rest)).to_bytes(_LENGTH_BYTES, "big")

    async def read_to_end(self, *, at_most: int) -> bytes:
        """Read what is left, keeping nothing, up to a little more than `at_most` bytes; return as `so_far`.

        Raises:
            InProgress: the client went away.
        """
        try:
            async for _ in self.request.stream():
                if self._length > at_most:
                    break
        except ClientDisconnect as error:
            raise InProgress from error
        return self.so_far()

    async def _receive(self) -> Message:
        message = await self._source()
        self._digested(self._rest + message.get("body", b""))
        return message

    def _digested(self, data: bytes) -> None:
        """Digest `data` with a NUL for each boundary, except for its end, where a boundary may have begun."""
        width = len(self._boundary)
        if width == 1:  # it may be every second byte, so no part of it is searched alone
            data = data.replace(self._boundary, b"\x00")
        elif width and self._boundary in data:
            *parts, data = data.split(self._boundary)
            self._update(b"\x00".join([*parts, b""]))
        begun = max(0, len(data) - max(0, width - 1))
        self._update(data[:begun])
        self._rest = data[begun:]

    def _update(self, piece: bytes) -> None:
        self._digest.update(piece)
        self._length += len(piece)


def _key_of(request: Request) -> str:
    given = request.headers.getlist("idempotency-key")
    if len(given) != 1 or not _KEY.fullmatch(given[0]):
        raise MalformedKey
    return given[0]


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _length_of(kept: bytes) -> int:
    return int.from_bytes(kept[-_LENGTH_BYTES:], "big")


def _joined(*parts: str) -> bytes:
    return b"\x00".join(part.encode("utf-8", "replace") for part in parts)


def _replayed(answer: StoredResponse) -> Response:
    if answer.body is None:
        raise StoredResponseTooLarge(answered=answer.status, location=dict(answer.headers).get("location"))
    response = Response(answer.body, status_code=answer.status)
    for name, value in (*answer.headers, (REPLAYED, "true")):
        response.headers.append(name, value)
    return response


def _boundary_of(content_type: str) -> bytes:
    """Return the boundary of a form; empty for other types, and for a malformed header, which the route refuses."""
    try:
        return parse_parameters(content_type).get("boundary", "").encode("latin-1", "replace")
    except ValueError:
        return b""
