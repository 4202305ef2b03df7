"""What stands around each endpoint: a request with a key is done once, and conditions on its state are kept.

A request that asks for neither costs one look at its headers.
"""

from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from shared.db.preconditions import Precondition, under
from shared.http.conditional import as_asked, etag_of, precondition_of
from shared.http.middleware.compression import Compression
from shared.http.middleware.idempotency import Once, needs_key, takes_key
from shared.idempotency import KeyRequired
from shared.schemas import RevisedBody

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Endpoint = Callable[..., Coroutine[Any, Any, Any]]
_ASKING = frozenset({b"idempotency-key", b"if-match", b"if-none-match"})
_REFUSALS = 400


@dataclass(slots=True)
class _Exchange:
    """One request: whether it is to be done once, and the revision of what its endpoint returned."""

    once: Once | None = None
    revision: int | None = None


_current: ContextVar[_Exchange | None] = ContextVar("exchange", default=None)


class _TakenBack(Exception):  # a request, not a mistake
    """Rolls back what belongs to an answer that refuses."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


def observed(endpoint: Endpoint) -> Endpoint:
    """Wrap an endpoint: FastAPI calls it when caller and input are good, and turns what it returns into bytes."""
    if not iscoroutinefunction(endpoint):
        return endpoint  # a stream of events: nothing of it can be kept or compared

    @wraps(endpoint)
    async def observe(*args: Any, **kwargs: Any) -> Any:
        exchange = _current.get() or _Exchange()
        if exchange.once is not None:
            replayed = await exchange.once.begin()
            if replayed is not None:
                return replayed
        returned = await endpoint(*args, **kwargs)
        if isinstance(returned, RevisedBody):
            exchange.revision = returned.revision
        return returned

    return observe


def exchanging(handler: Handler, *, route: APIRoute, streams: bool) -> Handler:
    """Wrap a route's handler. `streams`: the endpoint reads its body by itself."""
    required, takes = needs_key(route.endpoint), takes_key(route)

    async def exchange(request: Request) -> Response:
        begun = _Exchange()
        token = _current.set(begun)
        try:
            if not required and not any(name in _ASKING for name, _ in request.scope["headers"]):
                response = _tagged(await handler(request), begun.revision)
                compression: Compression = request.app.state.compression
                if compression.concerns(request, response):
                    await compression.apply(request, response)
                return response
            if request.method in {"GET", "HEAD"}:
                return await _read(handler, request, begun)
            if takes and "idempotency-key" in request.headers:
                if not streams:
                    await request.body()  # kept by the request: a form is read as a stream, once
                begun.once = Once(request, route=route.path_format, streams=streams)
            elif required:
                raise KeyRequired
            return await _carefully(handler, request, begun)
        finally:
            _current.reset(token)

    return exchange


async def _read(handler: Handler, request: Request, exchange: _Exchange) -> Response:
    """Answer a read under conditions: 304 if the client has it already in any content coding."""
    response = _tagged(await handler(request), exchange.revision)
    compression: Compression = request.app.state.compression
    is_compressible = compression.concerns(request, response)
    if exchange.revision is not None:
        asked = as_asked(request, response)
        if asked is not response:
            return asked
    if is_compressible:
        await compression.apply(request, response)
    return response


async def _carefully(handler: Handler, request: Request, exchange: _Exchange) -> Response:
    """Do it in one transaction, with the answer kept in it; nothing of it, if the answer is a refusal."""
    once, precondition = exchange.once, precondition_of(request)
    united: Callable[[], AbstractAsyncContextManager[None]] = request.app.state.united
    if once is not None and once.passing is not None:
        request = once.passing.request
    try:
        async with united():
            with under(precondition):
                response = _tagged(await handler(request), exchange.revision)
            await _settle(response, once, precondition)
    except _TakenBack as refusal:
        await _give_up(once)
        return refusal.response
    except Exception:
        await _give_up(once)
        raise
    return response


async def _settle(response: Response, once: Once | None, precondition: Precondition | None) -> None:
    if response.status_code >= _REFUSALS:
        raise _TakenBack(response)
    if once is not None and not once.is_ours:
        return
    if precondition is not None and precondition.is_open:
        raise precondition.failure
    if once is not None:
        await once.keep(response)


async def _give_up(once: Once | None) -> None:
    if once is not None:
        await once.give_up()


def _tagged(response: Response, revision: int | None) -> Response:
    if revision is not None:
        response.headers["ETag"] = etag_of(revision, bytes(response.body))
    return response
