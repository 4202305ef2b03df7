"""The server alone: a bare ASGI function that answers a constant."""

from typing import Any

from tools.bench.floors.serving import serve

_BODY = b'{"status":"ok"}'
_HEAD = [(b"content-type", b"application/json"), (b"content-length", str(len(_BODY)).encode())]


async def app(scope: Any, _receive: Any, send: Any) -> None:
    """Answer."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": _HEAD})
        await send({"type": "http.response.body", "body": _BODY})


if __name__ == "__main__":
    serve(app)
