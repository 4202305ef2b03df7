"""Trace context: ids of request and trace, and spans; passed from the API to jobs, mails and log lines."""

from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import structlog

SpanKind = Literal["internal", "server", "client", "producer", "consumer"]
Attribute = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Trace:
    """The request that causes the present work, and its W3C trace context if there is one."""

    request_id: str | None = None
    traceparent: str | None = None


class Span(Protocol):
    """A piece of work that is being measured."""

    def note(self, name: str, value: Attribute) -> None:
        """Set an attribute, named by OpenTelemetry's semantic conventions."""
        ...

    def rename(self, name: str) -> None:
        """Rename the span."""
        ...

    def fail(self, error: str) -> None:
        """Say that it failed, where no exception does."""
        ...


class Spans(Protocol):
    """Where spans go."""

    def open(
        self, name: str, *, kind: SpanKind, parent: str | None, about: Mapping[str, Attribute]
    ) -> AbstractContextManager[Span]:
        """Open a span inside the present one; where there is none, inside the one that `parent` names."""
        ...

    def traceparent(self) -> str | None:
        """Name the present span."""
        ...

    def fail(self, error: str) -> None:
        """Say that the present span's work failed."""
        ...


class _NoSpan:
    """A span that records nothing, for processes without traces. One instance is enough."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        return None

    def note(self, name: str, value: Attribute) -> None: ...

    def rename(self, name: str) -> None: ...

    def fail(self, error: str) -> None: ...


_NOTHING = _NoSpan()
_NO_ATTRIBUTES: Mapping[str, Attribute] = {}
_spans: Spans | None = None
_current: ContextVar[Trace] = ContextVar("trace", default=Trace())  # noqa: B039  # frozen, so a shared default is safe


def record_spans(spans: Spans | None) -> None:
    """Send the spans of this process there from now on; None: nowhere."""
    global _spans  # noqa: PLW0603  # one for the process, as the log is
    _spans = spans


def is_recording() -> bool:
    """Whether spans go anywhere."""
    return _spans is not None


def span(
    name: str,
    kind: SpanKind = "internal",
    *,
    parent: str | None = None,
    about: Mapping[str, Attribute] = _NO_ATTRIBUTES,
) -> AbstractContextManager[Span]:
    """Measure the block. Where no span is open it goes on with `parent`, by default with the present trace."""
    if _spans is None:
        return _NOTHING
    return _spans.open(name, kind=kind, parent=parent or _current.get().traceparent, about=about)


def fail_span(error: str) -> None:
    """Say that the present span's work failed, where no exception leaves it."""
    if _spans is not None:
        _spans.fail(error)


def current_trace() -> Trace:
    """Return the trace of the request or job that is being worked on."""
    trace = _current.get()
    present = _spans.traceparent() if _spans is not None else None
    return trace if present is None else replace(trace, traceparent=present)


class tracing:  # noqa: N801  # used as a function: `with tracing(trace):`
    """Work under this trace; each log line carries the request id and `log_context`."""

    __slots__ = ("_bound", "_token", "_trace")

    def __init__(self, trace: Trace, **log_context: str) -> None:
        self._trace = trace
        self._bound = structlog.contextvars.bound_contextvars(**log_context) if log_context else None

    def __enter__(self) -> None:
        self._token = _current.set(self._trace)
        if self._bound is not None:
            self._bound.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bound is not None:
            self._bound.__exit__(kind, error, traceback)
        _current.reset(self._token)


def trace_id_of(traceparent: str | None) -> str | None:
    """Return the trace id of a `traceparent`; None where it has none that is valid (W3C Trace Context, 3.2.2.3)."""
    trace_id = traceparent[3:35] if traceparent is not None else ""
    return trace_id if trace_id.strip("0") else None


def add_trace(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Name request and trace in a log line. Reading them there is cheaper than binding them for each request."""
    trace = current_trace()
    event.setdefault("request_id", trace.request_id)
    event.setdefault("trace_id", trace_id_of(trace.traceparent))
    return event
