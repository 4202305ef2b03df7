"""Count a request against the limits on concurrent requests, as a dependency of its endpoint."""

from collections.abc import AsyncIterator, Callable

from starlette.requests import HTTPConnection

from shared.http.api_state import api_state
from shared.http.authentication import Caller
from shared.http.concurrency import Activity, RequestSlot, address_of


def request_slot(
    activity: Activity, *, at_once: bool = True
) -> Callable[[HTTPConnection, Caller], AsyncIterator[RequestSlot]]:
    """Return a dependency that counts a request until its answer is sent.

    With `at_once=False` a request counts only from the moment its endpoint calls `enter`.
    """

    async def slot(connection: HTTPConnection, caller: Caller) -> AsyncIterator[RequestSlot]:
        found = RequestSlot(
            api_state(connection).concurrency, activity, caller.user_id, address_of(connection.scope)
        )
        if at_once:
            found.enter()
        try:
            yield found
        finally:
            found.leave()

    return slot
