"""The interface to the mail server: sessions, and the errors that end them."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from shared.text import as_line

_MAX_REPLY = 500


@dataclass(frozen=True, slots=True)
class Envelope:
    """Sender and the only recipient of a mail (RFC 5321, section 3.3). `size` is in bytes."""

    sender: str
    recipient: str
    size: int


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of the mail server (RFC 5321, section 4.2). `code` is 0 if it was not SMTP, or there was none."""

    code: int
    text: str

    def __str__(self) -> str:
        """Return one line without control characters, safe to store and to show."""
        text = self.text[:_MAX_REPLY].encode("utf-8", "replace").decode("utf-8")
        shown = as_line(text, instead=" ")
        return f"{self.code} {shown}".strip() if self.code else shown.strip()


class DeliveryError(Exception):
    """Base of errors that end a session before the mail was accepted."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class ServerUnreachable(DeliveryError):
    """The server can't be reached or refuses the connection. `answered`: something listens there."""

    def __init__(self, reply: Reply, *, answered: bool) -> None:
        super().__init__(reply)
        self.answered = answered


class TemporaryFailure(DeliveryError):
    """4xx: the server may accept the mail later."""


class Refused(DeliveryError):
    """5xx: the server will never accept the mail."""


class ProtocolError(DeliveryError):
    """The reply is not SMTP. The content was not sent."""


class OutcomeUnknown(DeliveryError):
    """The connection broke during DATA: the server may have accepted the mail (RFC 1047)."""


class SmtpSession(Protocol):
    """An SMTP session for one mail."""

    @property
    def tls(self) -> str | None:
        """The TLS version in use, or None."""
        ...

    async def send_envelope(self, envelope: Envelope) -> None:
        """Send MAIL and RCPT. Raises TemporaryFailure, Refused, ProtocolError, ServerUnreachable."""
        ...

    async def deliver(self, content: bytes) -> Reply:
        """Send the content and return the reply by which the server accepts responsibility for the mail.

        Raises TemporaryFailure, Refused or ServerUnreachable for such a reply, OutcomeUnknown for any other failure.
        """
        ...


class SmtpTransport(Protocol):
    """Opens sessions with the mail server."""

    def pause(self) -> timedelta:
        """Return how long not to connect after the server could not be reached; zero if there is no reason to wait."""
        ...

    def open_session(self) -> AbstractAsyncContextManager[SmtpSession]:
        """Connect, or reuse a connection. Raises ServerUnreachable, ProtocolError."""
        ...

    async def stop(self) -> None:
        """Close all connections."""
        ...
