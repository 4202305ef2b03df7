"""Structured logs: JSON in production, readable lines in development. Every line carries its request and job."""

import logging
import sys
from typing import Any, Literal

import structlog

from shared.redaction import redacted
from shared.trace import add_trace

LogFormat = Literal["json", "console"]
ACCESS = "access"
"""The logger of the lines about requests, which come ready for print."""


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module: `get_logger(__name__)`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


_processors: list[Any] = []
"""One list for good: loggers that were used already keep the one that they saw."""


def configure_logging(*, level: str, log_format: LogFormat) -> None:
    """Write all lines, also those of libraries, through one formatter to standard error."""
    shared_processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        add_trace,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _drop_none,
    ]
    _processors[:] = [
        structlog.stdlib.filter_by_level,
        *shared_processors,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ]
    structlog.configure(
        processors=_processors,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _Redacting(
            foreign_pre_chain=shared_processors,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(log_format)],
        )
    )
    # These log each task and each request a second time.
    for chatty in ("celery.worker.strategy", "celery.app.trace", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    ready = logging.StreamHandler(sys.stderr)
    ready.setFormatter(_Ready())
    access = logging.getLogger(ACCESS)
    access.handlers = [ready]
    # Its lines are complete; the root handler would format them again.
    access.propagate = False


def _renderers(log_format: LogFormat) -> list[Any]:
    """Return the last processors. Tracebacks come without local variables: those hold passwords and tokens."""
    if log_format == "json":
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        return [structlog.processors.ExceptionRenderer(tracebacks), structlog.processors.JSONRenderer()]
    return [
        _in_one_line,
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=0,
            pad_level=False,
            exception_formatter=structlog.dev.plain_traceback,
        ),
    ]


def _in_one_line(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Escape characters that would start another line. JSON escapes them already."""
    return {**event, "event": str(event.get("event", "")).replace("\r", "\\r").replace("\n", "\\n")}


def _drop_none(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Omit unset fields, so that lines outside a request stay short."""
    return {key: value for key, value in event.items() if value is not None}


class _Ready(logging.Formatter):
    """Prints a line as it is."""

    def format(self, record: logging.LogRecord) -> str:
        return str(record.msg)


class _Redacting(structlog.stdlib.ProcessorFormatter):
    """Hides secrets in text from other sources: lines of libraries, exceptions, error details."""

    def format(self, record: logging.LogRecord) -> str:
        # Own lines below warning hold no foreign text, so the regular expression is saved for them.
        is_foreign = not hasattr(record, "_logger")
        line = super().format(record)
        return redacted(line) if is_foreign or record.levelno >= logging.WARNING else line
