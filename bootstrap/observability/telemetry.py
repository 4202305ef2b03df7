"""Traces by OpenTelemetry, in the only module that imports it.

Spans are opened with `shared.trace.span`, those of SQL by the instrumentation of asyncpg.
No span tells a path, a query, a parameter of a statement or the text of an exception: any of them may hold a secret.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes

from bootstrap.compose import Role
from bootstrap.settings.model import Settings
from shared import trace as facade
from shared.trace import Attribute

PATIENCE = 3.0
"""Time limit in seconds for sending spans, which also delays the end of a process without a collector."""

_PROPAGATOR = TraceContextTextMapPropagator()
_KINDS: Mapping[facade.SpanKind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_BEGIN_TRACES = frozenset({SpanKind.SERVER, SpanKind.CONSUMER})


@contextmanager
def traced(settings: Settings, role: Role) -> Iterator[None]:
    """Send the spans of this process to the collector of the settings while the block runs."""
    exporter = OTLPSpanExporter(endpoint=f"{settings.telemetry_url}/v1/traces", timeout=PATIENCE)
    resource = Resource.create(
        {
            "service.name": "tulou",
            "service.version": version("tulou"),
            "deployment.environment.name": settings.env,
            "tulou.role": role,
        }
    )
    with recorded(BatchSpanProcessor(exporter), sample=settings.telemetry_sample, resource=resource):
        yield


@contextmanager
def recorded(
    processor: SpanProcessor, *, sample: float = 1.0, resource: Resource | None = None
) -> Iterator[None]:
    """Hand spans to a processor while the block runs, and let it end what it has begun."""
    provider = TracerProvider(sampler=Selection(sample), resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    statements: Any = AsyncPGInstrumentor()  # type: ignore[no-untyped-call]  # it has no types
    statements.instrument(tracer_provider=provider)
    facade.record_spans(OpenTelemetrySpans(provider))
    try:
        yield
    finally:
        # Before the provider ends, so that no span begins in between.
        facade.record_spans(None)
        statements.uninstrument()
        provider.shutdown()


class Selection(Sampler):
    """Keeps a share of the traces; each process decides the same by the trace's id, whatever the client asked for.

    A trace begins with a request or a job. What a process asks by itself, such as a relay that looks for work, is none.
    """

    def __init__(self, share: float) -> None:
        self._by_id = TraceIdRatioBased(share)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide about a span that is about to begin."""
        parent = trace.get_current_span(parent_context).get_span_context()
        # The trace was decided in this process: all of its spans follow the first one.
        if parent.is_valid and not parent.is_remote:
            kept = parent.trace_flags.sampled
            return SamplingResult(Decision.RECORD_AND_SAMPLE if kept else Decision.DROP, attributes)
        # Work without a request or a job, such as the relay's polling.
        if not parent.is_valid and kind not in _BEGIN_TRACES:
            return SamplingResult(Decision.DROP)
        return self._by_id.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """Return the sampler's name."""
        return f"Selection({self._by_id.get_description()})"


class OpenTelemetrySpans:
    """Implements `shared.trace.Spans`."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("tulou", version("tulou"))

    @contextmanager
    def open(
        self, name: str, *, kind: facade.SpanKind, parent: str | None, about: Mapping[str, Attribute]
    ) -> Iterator[facade.Span]:
        """Open a span, and name the type of what is raised in it."""
        context = None
        # A span of this process takes precedence over the stored parent of a job.
        if parent is not None and not trace.get_current_span().get_span_context().is_valid:
            context = _PROPAGATOR.extract({"traceparent": parent})
        with self._tracer.start_as_current_span(
            name,
            context,
            _KINDS[kind],
            attributes=about,
            # Texts of exceptions may hold secrets; `fail` sets the type.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            opened = _OpenSpan(span)
            try:
                yield opened
            except Exception as error:
                opened.fail(type(error).__qualname__)
                raise

    def traceparent(self) -> str | None:
        """Return the `traceparent` of the current span (W3C trace context, level 1)."""
        present = trace.get_current_span().get_span_context()
        if not present.is_valid:
            return None
        return f"00-{present.trace_id:032x}-{present.span_id:016x}-{present.trace_flags:02x}"

    def fail(self, error: str) -> None:
        """Mark the current span as failed."""
        _OpenSpan(trace.get_current_span()).fail(error)


class _OpenSpan:
    """Implements `shared.trace.Span`."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def note(self, name: str, value: Attribute) -> None:
        self._span.set_attribute(name, value)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, error: str) -> None:
        self._span.set_attribute("error.type", error)
        self._span.set_status(Status(StatusCode.ERROR))
