"""What every answer carries, whoever gives it: the request's id, the words to browsers, the state of the limits."""

import re
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.cross_origin import CrossOrigin
from shared.http.rate_limits import STANDING
from shared.http.security_headers import Header
from shared.ids import new_id
from shared.trace import Trace, tracing

_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Frame:
    """The outermost layer. It takes or makes `X-Request-Id` and works under it, and it completes each answer's head.

    `headers` are added where the answer has none of that name.
    """

    def __init__(self, app: ASGIApp, *, headers: Sequence[Header], cross_origin: CrossOrigin) -> None:
        self._app = app
        self._headers = headers
        self._cross_origin = cross_origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = dict(scope["headers"])
        given = request.get(b"x-request-id", b"")
        request_id = given if _SANE_ID.fullmatch(given) else str(new_id()).encode()
        parent = request.get(b"traceparent", b"")
        origin = request.get(b"origin", b"")
        granted = self._cross_origin.headers(origin)

        async def send_framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = message.get("headers", ())
                names = {name for name, _ in own}
                message["headers"] = [
                    *own,
                    *[header for header in self._headers if header[0] not in names],
                    *scope.get(STANDING, ()),
                    *granted,
                    (b"x-request-id", request_id),
                ]
            await send(message)

        traceparent = parent.decode() if _TRACEPARENT.fullmatch(parent) else None
        with tracing(Trace(request_id.decode(), traceparent)):
            asks = b"access-control-request-method" in request
            if self._cross_origin.is_preflight(scope["method"], origin, asks=asks):
                await self._cross_origin.grant(send_framed)
            else:
                await self._app(scope, receive, send_framed)
