"""The transport without a mail server: mails are logged without their content, and count as sent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from domains.emails.gateway.transport import Envelope, Reply, SmtpSession
from shared.logging import get_logger

logger = get_logger(__name__)


class NullSession:
    """Accepts every mail."""

    tls: str | None = None

    async def send_envelope(self, envelope: Envelope) -> None:
        """Log that a mail is not sent."""
        logger.warning("mail_not_sent", reason="no mail server is configured", size=envelope.size)

    async def deliver(self, content: bytes) -> Reply:  # noqa: ARG002  # the contract's
        """Drop the content."""
        return Reply(250, "Not sent: no mail server is configured.")


class NullTransport:
    """Used if no mail server is configured, which production refuses."""

    def pause(self) -> timedelta:
        """Return zero."""
        return timedelta(0)

    @asynccontextmanager
    async def open_session(self) -> AsyncIterator[SmtpSession]:
        """Open a session that accepts every mail."""
        yield NullSession()

    async def stop(self) -> None:
        """Do nothing."""
