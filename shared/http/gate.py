"""What every request has to pass before a route sees it: the host, the limits, the bytes of address and body."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import AppError
from shared.http.hosts import Hosts, UnknownHost
from shared.http.observing import PROBES
from shared.http.problems import ProblemWriter
from shared.http.rate_limits import STANDING, Key, RateLimits, network_of
from shared.http.refusals import AmbiguousLength, BadQuery, BodyTooLarge, UnsupportedEncoding

MAX_QUERY = 8192
"""Bytes of a query string."""


def _never(_scope: Scope) -> bool:
    return False


def _one(_scope: Scope) -> int:
    return 1


def _nobody(_token: str) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the gate goes by.

    `max_body` in bytes; routes for which `streams` is true read their body by themselves. `identify` tells whose a
    bearer token is, as far as that costs no look into the database. `has_head` tells the routes that answer HEAD by
    themselves; elsewhere it is GET without the body.
    """

    max_body: int
    hosts: Hosts
    limits: RateLimits | None = None
    streams: Callable[[Scope], bool] = _never
    cost: Callable[[Scope], int] = _one
    has_head: Callable[[Scope], bool] = _never
    identify: Callable[[str], Key | None] = _nobody


class Gate:
    """Refuses what may not come in. A body is read here, whole, and handed on."""

    def __init__(self, app: ASGIApp, *, problems: ProblemWriter, rules: Rules) -> None:
        self._app = app
        self._problems = problems
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        has_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        try:
            self._admit(scope, headers)
            if has_body:
                _check_body(headers)
                if not self._rules.streams(scope):
                    receive = await self._read(headers, receive)
        except AppError as error:
            response = self._problems.response(error, scope["path"])
            if has_body:
                response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        if scope["method"] == "HEAD" and not self._rules.has_head(scope):
            await self._answer_head(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _admit(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        rules, is_probe = self._rules, scope["path"] in PROBES
        if len(headers) != len(scope["headers"]):
            _check_repeated(scope)
        host = headers.get(b"host")
        if host is not None:
            rules.hosts.check(host, any_name=is_probe)
        elif not is_probe or scope.get("http_version") != "1.0":
            raise UnknownHost
        # The house itself asks probes, often and by address: no limit and no name are theirs.
        if rules.limits is not None and not is_probe:
            scope[STANDING] = rules.limits.take(self._caller(scope, headers), rules.cost(scope))
        _check_address(scope)

    def _caller(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Key:
        authorization = headers.get(b"authorization", b"")
        if authorization[:7].lower() == b"bearer ":
            known = self._rules.identify(authorization[7:].decode("latin-1"))
            if known is not None:
                return known
        client = scope.get("client")
        return network_of(client[0]) if client else ""

    async def _read(self, headers: Mapping[bytes, bytes], receive: Receive) -> Receive:
        declared, limit = headers.get(b"content-length", b"0"), self._rules.max_body
        if not declared.isdigit() or len(declared) > 18 or int(declared) > limit:  # noqa: PLR2004  # digits of 2**63
            raise BodyTooLarge(limit=limit)
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return _replay([message], receive)
            body += message.get("body", b"")
            if len(body) > limit:
                raise BodyTooLarge(limit=limit)
            if not message.get("more_body", False):
                whole = {"type": "http.request", "body": bytes(body), "more_body": False}
                return _replay([whole], receive)

    async def _answer_head(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as GET does, without the body (RFC 9110, section 9.3.2). A stream ends where it would begin."""
        ended = False

        async def send_head(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                await send(message)
            elif not ended:
                ended = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, send_head)
        finally:
            scope.update(
                {name: asked[name] for name in ("route", "endpoint", "path_params") if name in asked}
            )


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


def _check_body(headers: Mapping[bytes, bytes]) -> None:
    if b"content-length" in headers and b"transfer-encoding" in headers:
        raise AmbiguousLength
    if headers.get(b"content-encoding", b"").strip().lower() not in {b"", b"identity"}:
        raise UnsupportedEncoding
