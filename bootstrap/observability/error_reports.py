"""Error reports to Sentry: each logged error once, with its request or job.

Sentry's own integrations stay off: they would read requests, local variables and SQL, which hold secrets.
"""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from typing import Any

import sentry_sdk
from sentry_sdk.transport import Transport
from sentry_sdk.utils import event_from_exception

from bootstrap.compose import Role
from bootstrap.settings.model import Settings
from shared.redaction import redacted

TAGS = ("request_id", "trace_id", "job_id", "kind", "problem", "route", "attempt", "queue")
"""Fields of a log line that become tags."""

_PATIENCE = 2.0
"""Time limit in seconds for sending reports when the process ends."""

_MARK = "__reported__"


@contextmanager
def reported(settings: Settings, role: Role, *, transport: Transport | None = None) -> Iterator[None]:
    """Report the errors of this process while the block runs."""
    client = sentry_sdk.Client(
        dsn=settings.sentry_dsn.get_secret_value() if settings.sentry_dsn else None,
        environment=settings.env,
        release=f"tulou@{version('tulou')}",
        default_integrations=False,
        include_local_variables=False,
        max_request_body_size="never",
        # Only errors are sent, nothing about the client itself.
        send_client_reports=False,
        auto_session_tracking=False,
        before_send=_scrubbed,
        transport=transport,
    )
    handler = ErrorReports(client, role)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        client.close(timeout=_PATIENCE)


class ErrorReports(logging.Handler):
    """Makes a report of each line of level error."""

    def __init__(self, client: sentry_sdk.Client, role: Role) -> None:
        super().__init__(logging.ERROR)
        self._client = client
        self._role = role

    def emit(self, record: logging.LogRecord) -> None:
        """Report a line unless its exception was reported already: several layers may log the same one."""
        # Reporting an error of the reporter would never end.
        if record.name.startswith("sentry_sdk"):
            return
        fields: Mapping[str, Any] = record.msg if isinstance(record.msg, dict) else {}
        error = _exception(fields.get("exc_info", record.exc_info))
        if error is not None and getattr(error, _MARK, False):
            return
        event, hint = _about(error, self._client.options)
        event.update(
            level="fatal" if record.levelno >= logging.CRITICAL else "error",
            logger=record.name,
            logentry={"formatted": str(fields.get("event") or record.getMessage())},
            tags={
                "role": self._role,
                **{name: str(fields[name]) for name in TAGS if fields.get(name) is not None},
            },
        )
        # Some exceptions have no `__dict__`; they may be reported twice.
        with suppress(AttributeError):
            setattr(error, _MARK, True)
        self._client.capture_event(event, hint)


def _exception(fields: Any) -> BaseException | None:
    """Return the exception of a line, in any form that logging allows."""
    if isinstance(fields, BaseException):
        return fields
    if isinstance(fields, tuple):
        return fields[1] if isinstance(fields[1], BaseException) else None
    return sys.exc_info()[1] if fields else None


def _about(error: BaseException | None, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    if error is None:
        return {}, {}
    event, hint = event_from_exception(
        error, client_options=dict(options), mechanism={"type": "log", "handled": True}
    )
    return event, hint


def _scrubbed(event: Any, _hint: dict[str, Any]) -> Any:
    """Hide secrets in all values."""
    if isinstance(event, str):
        return redacted(event)
    if isinstance(event, dict):
        return {name: _scrubbed(value, _hint) for name, value in event.items()}
    if isinstance(event, list | tuple):
        return [_scrubbed(value, _hint) for value in event]
    return event
