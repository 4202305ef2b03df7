"""The contract with the mail server: what a session can do, and every way in which it can end."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from shared.text import as_line

_MAX_REPLY = 500


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who a mail is from and for (RFC 5321, section 3.3); one recipient, always. `size` is in bytes."""

    sender: str
    recipient: str
    size: int


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the mail server (RFC 5321, section 4.2): its code, or 0 when it wasn't one, and its text."""

    code: int
    text: str

    def __str__(self) -> str:
        """One line that is safe to store and to show."""
        text = self.text[:_MAX_REPLY].encode("utf-8", "replace").decode("utf-8")
        shown = as_line(text, instead=" ")
        return f"{self.code} {shown}".strip() if self.code else shown.strip()


class DeliveryError(Exception):
    """Base of the ways in which a session ends without the mail being taken."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class ServerUnreachable(DeliveryError):
    """Nothing to do with this mail: the server is away, or doesn't let us in. `answered`: something listens there."""

    def __init__(self, reply: Reply, *, answered: bool) -> None:
        super().__init__(reply)
        self.answered = answered


class TemporaryFailure(DeliveryError):
    """4xx: not now."""


class Refused(DeliveryError):
    """5xx: never."""


class ProtocolError(DeliveryError):
    """What came isn't SMTP. The content had not been sent."""


class OutcomeUnknown(DeliveryError):
    """The connection broke after the content had begun to leave (RFC 1047)."""


class SmtpSession(Protocol):
    """One mail's turn on a connection."""

    @property
    def tls(self) -> str | None:
        """The TLS version in use, or None."""
        ...

    async def send_envelope(self, envelope: Envelope) -> None:
        """Name sender and recipient. Raises TemporaryFailure, Refused, ProtocolError, ServerUnreachable."""
        ...

    async def deliver(self, content: bytes) -> Reply:
        """Send the content, which the server thereby takes responsibility for.

        Raises TemporaryFailure, Refused or ServerUnreachable when it says so, OutcomeUnknown in every other case.
        """
        ...


class SmtpTransport(Protocol):
    """The way to the mail server."""

    def pause(self) -> timedelta:
        """How long to leave the server alone after it could not be reached; zero when there is no reason to wait."""
        ...

    def open_session(self) -> AbstractAsyncContextManager[SmtpSession]:
        """Connect, or go on with a connection that is still good. Raises ServerUnreachable, ProtocolError."""
        ...

    async def stop(self) -> None:
        """Close all connections."""
        ...
