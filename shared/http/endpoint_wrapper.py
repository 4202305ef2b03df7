"""Wraps each endpoint: runs a request with a key once, and enforces preconditions.

A request that asks for neither costs one look at its headers.
"""

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from shared.db.preconditions import Precondition, under
from shared.http.api_state import api_state
from shared.http.conditional import conditional_response, etag_of, precondition_of
from shared.http.idempotency import IdempotentRequest, needs_key, takes_key
from shared.idempotency import KeyRequired
from shared.schemas import RevisedBody

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Endpoint = Callable[..., Coroutine[Any, Any, Any]]
_ASKING = frozenset({b"idempotency-key", b"if-match", b"if-none-match"})
_REFUSALS = 400


@dataclass(slots=True)
class _RequestScope:
    """One request: its idempotency, and the revision of what its endpoint returned."""

    once: IdempotentRequest | None = None
    revision: int | None = None


_current: ContextVar[_RequestScope | None] = ContextVar("request_scope", default=None)


class _RolledBack(Exception):  # a request, not a mistake
    """Rolls back the transaction of an error response."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


def wrap_endpoint(endpoint: Endpoint) -> Endpoint:
    """Wrap an endpoint. FastAPI calls it after it has checked caller and input, and serialises the result."""
    if not iscoroutinefunction(endpoint):
        return endpoint  # a stream of events: nothing of it can be kept or compared

    @wraps(endpoint)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        request_scope = _current.get() or _RequestScope()
        if request_scope.once is not None:
            replayed = await request_scope.once.begin()
            if replayed is not None:
                return replayed
        returned = await endpoint(*args, **kwargs)
        if isinstance(returned, RevisedBody):
            request_scope.revision = returned.revision
        return returned

    return wrapped


def wrap_handler(handler: Handler, *, route: APIRoute, streams: bool) -> Handler:
    """Wrap a route's handler. `streams`: the endpoint reads its body as a stream."""
    required, takes = needs_key(route.endpoint), takes_key(route)

    async def handle(request: Request) -> Response:
        begun = _RequestScope()
        token = _current.set(begun)
        try:
            # The fast path: most requests have none of these headers.
            if not required and not any(name in _ASKING for name, _ in request.scope["headers"]):
                response = _tagged(await handler(request), begun.revision)
                compression = api_state(request).compression
                if compression.concerns(request, response):
                    await compression.apply(request, response)
                return response
            if request.method in {"GET", "HEAD"}:
                return await _read(handler, request, begun)
            if takes and "idempotency-key" in request.headers:
                if not streams:
                    await request.body()  # kept by the request: a form is read as a stream, once
                store = api_state(request).stored_responses
                begun.once = IdempotentRequest(request, store, route=route.path_format, streams=streams)
            elif required:
                raise KeyRequired
            return await _handle_in_transaction(handler, request, begun)
        finally:
            _current.reset(token)

    return handle


async def _read(handler: Handler, request: Request, request_scope: _RequestScope) -> Response:
    """Return a read under conditions: 304 if the client has the representation in any content coding."""
    response = _tagged(await handler(request), request_scope.revision)
    compression = api_state(request).compression
    is_compressible = compression.concerns(request, response)
    if request_scope.revision is not None:
        asked = conditional_response(request, response)
        if asked is not response:
            return asked
    if is_compressible:
        await compression.apply(request, response)
    return response


async def _handle_in_transaction(
    handler: Handler, request: Request, request_scope: _RequestScope
) -> Response:
    """Run the endpoint and store its response in one transaction; roll back if the response is an error."""
    once, precondition = request_scope.once, precondition_of(request)
    if once is not None and once.digested_body is not None:
        request = once.digested_body.request
    try:
        async with api_state(request).request_transaction():
            with under(precondition):
                response = _tagged(await handler(request), request_scope.revision)
            await _finish(response, once, precondition)
    except _RolledBack as refusal:
        await _give_up(once)
        return refusal.response
    except Exception:
        await _give_up(once)
        raise
    return response


async def _finish(
    response: Response, once: IdempotentRequest | None, precondition: Precondition | None
) -> None:
    if response.status_code >= _REFUSALS:
        # An endpoint may return an error response instead of raising; its changes must not be committed.
        raise _RolledBack(response)
    # A replayed response has no effect in this transaction that a precondition could protect.
    if once is not None and not once.is_ours:
        return
    # No row with a revision was read, so nothing shows that the client's precondition holds.
    if precondition is not None and precondition.is_unchecked:
        raise precondition.failure
    if once is not None:
        await once.keep(response)


async def _give_up(once: IdempotentRequest | None) -> None:
    if once is not None:
        await once.give_up()


def _tagged(response: Response, revision: int | None) -> Response:
    if revision is not None:
        response.headers["ETag"] = etag_of(revision, bytes(response.body))
    return response
