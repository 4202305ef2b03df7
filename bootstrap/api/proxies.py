"""The client address, where a trusted proxy forwards it."""

import ipaddress
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware, _TrustedHosts

from shared.http.request_context import context_of


def trust_proxy_headers(app: ASGIApp, trusted: tuple[str, ...]) -> ASGIApp:
    """Take the client address from the proxy if it is valid: some proxies forward invented values."""

    async def validated(scope: Scope, receive: Receive, send: Send) -> None:
        client, peer = scope.get("client"), context_of(scope).peer
        if client and client is not peer and not _is_address(client[0]):
            scope["client"] = peer
        await app(scope, receive, send)

    proxies: Any = ProxyHeadersMiddleware(validated, trusted_hosts=list(trusted))  # type: ignore[arg-type]  # same ASGI

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        context_of(scope).peer = scope.get("client")
        await proxies(scope, receive, send)

    return noted


def proxies_of(trusted: tuple[str, ...]) -> Callable[[str], bool]:
    """Return a function that tells whether a peer is a trusted proxy, which carries connections of many clients."""
    hosts = _TrustedHosts(list(trusted))
    return lambda address: address in hosts


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
