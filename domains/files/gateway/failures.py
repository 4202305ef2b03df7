"""Errors of the sandbox, whose reasons are logged."""

from domains.files.errors import ParserLimit, SandboxUnavailable
from shared.logging import get_logger

_log = get_logger(__name__)


def unavailable(reason: str) -> SandboxUnavailable:
    """Return the error of a machine that can't confine the process. The reason, a sentence, is for operators."""
    _log.error("sandbox_unavailable", reason=reason)
    return SandboxUnavailable(reason=reason)


def broken(reason: str) -> ParserLimit:
    """Return the error of a process that was ended because of a limit or an invalid response."""
    _log.warning("sandbox_process_ended", reason=reason)
    return ParserLimit()
