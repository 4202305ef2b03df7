"""State shared by the requests of one API process."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection

from shared.http.compression import Compression
from shared.http.concurrency import Concurrency
from shared.idempotency import StoredResponses
from shared.identity import Authenticator
from shared.revocation import RevocationWatcher


@dataclass(kw_only=True, slots=True)
class ApiState:
    """Made once per application, which has it as `app.state.api`. `container` is the composition root."""

    container: Any
    authenticator: Authenticator
    revocation_watcher: RevocationWatcher
    stored_responses: StoredResponses
    request_transaction: Callable[[], AbstractAsyncContextManager[None]]
    compression: Compression
    concurrency: Concurrency


def api_state(connection: HTTPConnection) -> ApiState:
    """Return the state of the application that serves a request."""
    state: ApiState = connection.app.state.api
    return state
