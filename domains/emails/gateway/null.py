"""No mail server: mails are logged, without what they say, and count as sent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from domains.emails.gateway.transport import Envelope, Reply, SmtpSession
from shared.logging import get_logger

logger = get_logger(__name__)


class NullSession:
    """Takes everything."""

    tls: str | None = None

    async def send_envelope(self, envelope: Envelope) -> None:
        """Log that a mail would leave now."""
        logger.warning("mail_not_sent", reason="no mail server is configured", size=envelope.size)

    async def deliver(self, content: bytes) -> Reply:  # noqa: ARG002  # the contract's
        """Forget the mail."""
        return Reply(250, "Not sent: no mail server is configured.")


class NullTransport:
    """Stands in where no mail server is configured; production refuses to."""

    def pause(self) -> timedelta:
        """Never wait."""
        return timedelta(0)

    @asynccontextmanager
    async def open_session(self) -> AsyncIterator[SmtpSession]:
        """Begin a session with nobody."""
        yield NullSession()

    async def stop(self) -> None:
        """Do nothing."""
