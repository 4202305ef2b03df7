"""The checks before routing: host name, limits, size and encoding of URL and body."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from starlette.types import Message, Receive, Scope

from shared.http.concurrency import Activity, Concurrency, Slot, address_of
from shared.http.middleware.hosts import Hosts, UnknownHost
from shared.http.middleware.request_recorder import PROBES
from shared.http.middleware.response_wrapper import ResponseWrapper
from shared.http.rate_limits import Key, RateLimits, network_of
from shared.http.refusals import (
    AmbiguousLength,
    BadQuery,
    BodyTooLarge,
    RepeatedField,
    UnsupportedEncoding,
    UnsupportedTransferCoding,
)
from shared.http.request_context import context_of

Fields = Mapping[bytes, bytes]
"""Header fields by name; of one that is repeated the last."""

# Authorization and Idempotency-Key are single-valued too, but the code that reads them has a better error.
_HAVE_ONE_VALUE = (
    b"content-disposition",
    b"content-encoding",
    b"content-range",
    b"content-type",
    b"if-modified-since",
    b"if-range",
    b"if-unmodified-since",
    b"range",
    b"transfer-encoding",
)

LARGE_BODY = 65_536
"""Size in bytes above which the number of bodies read at a time is limited, because each is held in memory."""

MAX_QUERY = 8192
"""Bytes of a query string."""


def _never(_scope: Scope) -> bool:
    return False


def _one(_scope: Scope) -> int:
    return 1


def _anonymous(_scope: Scope) -> None:
    return None


def _open(_scope: Scope) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Configuration of the request guard.

    `max_body` in bytes; routes for which `streams` is true read their body by themselves. `identify` returns the
    account of a request's access token without a query. `has_head` names routes that implement HEAD; elsewhere HEAD is
    GET without the body. `refuse` raises for requests that the current mode forbids.
    """

    max_body: int
    hosts: Hosts
    limits: RateLimits | None = None
    concurrency: Concurrency | None = None
    streams: Callable[[Scope], bool] = _never
    cost: Callable[[Scope], int] = _one
    has_head: Callable[[Scope], bool] = _never
    identify: Callable[[Scope], Key | None] = _anonymous
    refuse: Callable[[Scope], None] = _open


class RequestGuard:
    """Rejects requests, with an error that says why."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.has_head = rules.has_head

    def admit(self, scope: Scope, fields: Fields, wrapper: ResponseWrapper) -> None:
        """Check a request. Its response has the state of the caller's limits.

        Raises:
            AppError: the request is rejected.
        """
        rules, is_probe = self._rules, scope["path"] in PROBES
        # Comparing lengths is cheaper than searching for repeated names, which are rare.
        if len(fields) != len(scope["headers"]):
            _check_repeated(scope)
        host = fields.get(b"host")
        if host is not None:
            rules.hosts.check(host, any_name=is_probe, is_absolute=context_of(scope).has_absolute_target)
        # HTTP/1.0 has no Host header, and some health checkers still use it.
        elif not is_probe or scope.get("http_version") != "1.0":
            raise UnknownHost
        # Orchestrators call health checks often and by IP address, so limits and host names do not apply.
        if rules.limits is not None and not is_probe:
            wrapper.extra_headers += rules.limits.take(self._caller(scope, fields), rules.cost(scope))
        if not is_probe:
            rules.refuse(scope)
        _check_address(scope)

    async def body(self, scope: Scope, fields: Fields, receive: Receive) -> Receive:
        """Read the whole body unless the route streams it; return the ASGI `receive` that provides it.

        Raises:
            AppError: the request is rejected.
        """
        _check_body(fields)
        return receive if self._rules.streams(scope) else await self._read(scope, fields, receive)

    def _caller(self, scope: Scope, fields: Fields) -> Key:
        if b"authorization" in fields:
            # By account, so that people behind one address don't share a limit. A request with an invalid
            # token counts for its address, so invented tokens give no new limits.
            known = self._rules.identify(scope)
            if known is not None:
                return known
        client = scope.get("client")
        return network_of(client[0]) if client else ""

    async def _read(self, scope: Scope, fields: Fields, receive: Receive) -> Receive:
        declared, limit = fields.get(b"content-length", b"0"), self._rules.max_body
        if not declared.isdigit() or len(declared) > 18 or int(declared) > limit:  # noqa: PLR2004  # digits of 2**63
            raise BodyTooLarge(limit=limit)
        body, slot = bytearray(), self._large(scope) if int(declared) > LARGE_BODY else None
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    # The application meets the disconnect where it expects the body.
                    return _replay([message], receive)
                body += message.get("body", b"")
                if len(body) > limit:
                    raise BodyTooLarge(limit=limit)
                if not message.get("more_body", False):
                    whole = {"type": "http.request", "body": bytes(body), "more_body": False}
                    return _replay([whole], receive)
                # A chunked body declares no size, so it is counted once it has grown large.
                if slot is None and len(body) > LARGE_BODY:
                    slot = self._large(scope)
        finally:
            if slot is not None:
                slot.release()

    def _large(self, scope: Scope) -> Slot | None:
        """Count a large body while it is read. Raises TooManyInProgress, Busy."""
        if self._rules.concurrency is None:
            return None
        return self._rules.concurrency.enter(Activity.BODY, account=None, address=address_of(scope))


def has_body(fields: Fields) -> bool:
    """Whether a request with these header fields brings a body."""
    return fields.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in fields


def _replay(messages: Iterable[Message], receive: Receive) -> Receive:
    waiting = iter(messages)

    async def replay() -> Message:
        for message in waiting:
            return message
        return await receive()

    return replay


def _check_repeated(scope: Scope) -> None:
    names = [name for name, _ in scope["headers"]]
    if names.count(b"host") > 1:
        raise UnknownHost
    if names.count(b"content-length") > 1:
        raise AmbiguousLength
    for name in _HAVE_ONE_VALUE:
        if names.count(name) > 1:
            raise RepeatedField(f"{name.decode().title()} was sent more than once.")


def _check_address(scope: Scope) -> None:
    query: bytes = scope["query_string"]
    if query and (len(query) > MAX_QUERY or not _is_text(query)):
        raise BadQuery
    path: str = scope["path"]
    if "\x00" in path or ("\ufffd" in path and not _is_text(scope.get("raw_path") or b"")):
        raise BadQuery


def _is_text(encoded: bytes) -> bool:
    decoded = unquote_to_bytes(encoded)
    if b"\x00" in decoded:
        return False
    try:
        decoded.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _check_body(fields: Fields) -> None:
    if b"content-length" in fields and b"transfer-encoding" in fields:
        raise AmbiguousLength
    if fields.get(b"transfer-encoding", b"chunked").strip().lower() != b"chunked":
        raise UnsupportedTransferCoding
    if fields.get(b"content-encoding", b"").strip().lower() not in {b"", b"identity"}:
        raise UnsupportedEncoding
