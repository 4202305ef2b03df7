"""Which request is being worked on: travels from the API into jobs, mails and log lines."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import structlog


@dataclass(frozen=True, slots=True)
class Trace:
    """The request that causes the present work, and its W3C trace context if the client sent one."""

    request_id: str | None = None
    traceparent: str | None = None


_current: ContextVar[Trace] = ContextVar("trace", default=Trace())  # noqa: B039  # frozen, so a shared default is safe


def current_trace() -> Trace:
    """Return the trace of the request or job that is being worked on."""
    return _current.get()


@contextmanager
def tracing(trace: Trace, **log_context: str) -> Iterator[None]:
    """Work under this trace; each log line carries the request id and `log_context`."""
    token = _current.set(trace)
    with structlog.contextvars.bound_contextvars(request_id=trace.request_id, **log_context):
        try:
            yield
        finally:
            _current.reset(token)
