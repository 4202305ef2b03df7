"""SMTP by aiosmtplib (RFC 5321): connections that are kept for the next mail, and each failure told from the others."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import aiosmtplib

from domains.emails.gateway.circuit_breaker import CircuitBreaker
from domains.emails.gateway.connection_pool import BROKEN, SmtpConnectionPool
from domains.emails.gateway.transport import (
    DeliveryError,
    Envelope,
    OutcomeUnknown,
    ProtocolError,
    Refused,
    Reply,
    ServerUnreachable,
    SmtpSession,
    TemporaryFailure,
)
from domains.emails.settings import EmailsSettings, SmtpServer
from shared.trace import Attribute, span

# 421: the server is closing (RFC 5321, section 3.8); the others want a login or TLS (RFC 4954, section 6).
_ABOUT_US = frozenset({421, 530, 534, 535, 538})


class AiosmtplibSession:
    """One mail's turn on a connection."""

    def __init__(self, client: aiosmtplib.SMTP, *, data_timeout: float) -> None:
        self._client = client
        self._data_timeout = data_timeout
        self.tls: str | None = _tls_version(client)

    async def send_envelope(self, envelope: Envelope) -> None:
        """Name sender and recipient."""
        international = not (envelope.sender + envelope.recipient).isascii()
        with _before_the_content():
            await self._greet()
            await self._client.mail(
                envelope.sender,
                options=self._options(envelope, international=international),
                encoding="utf-8" if international else "ascii",
            )
            await self._client.rcpt(envelope.recipient, encoding="utf-8" if international else "ascii")

    async def deliver(self, content: bytes) -> Reply:
        """Send the content; aiosmtplib doubles leading dots and makes every line end CRLF."""
        try:
            code, text = await self._client.data(content, timeout=self._data_timeout)
        except aiosmtplib.SMTPResponseException as error:
            raise _verdict(error, otherwise=OutcomeUnknown) from error
        except (aiosmtplib.SMTPException, *BROKEN) as error:
            raise OutcomeUnknown(_no_reply(error)) from error
        return Reply(code, text)

    async def _greet(self) -> None:
        """Learn what the server can do, where connecting didn't need to know."""
        if self._client.is_ehlo_or_helo_needed:
            try:
                await self._client.ehlo()
            except aiosmtplib.SMTPHeloError:
                await self._client.helo()

    def _options(self, envelope: Envelope, *, international: bool) -> list[str]:
        options = [f"SIZE={envelope.size}"] if self._client.supports_extension("size") else []
        if not international:
            return options
        if not self._client.supports_extension("smtputf8"):
            raise Refused(
                Reply(0, "The mail server takes no addresses with letters outside ASCII (RFC 6531).")
            )
        return [*options, "BODY=8BITMIME", "SMTPUTF8"]


class SmtpGateway:
    """The mail server of the settings, on a connection for each mail that is under way at a time."""

    def __init__(self, server: SmtpServer, *, settings: EmailsSettings, local_hostname: str) -> None:
        self._server = server
        self._settings = settings
        self._local_hostname = local_hostname
        self._breaker = CircuitBreaker(longest=settings.emails_outage_seconds)
        self._pool = SmtpConnectionPool(
            self._connect, idle=settings.emails_idle_seconds, timeout=settings.emails_timeout_seconds
        )
        self._context: ssl.SSLContext | None = None

    def pause(self) -> timedelta:
        """How long to leave the server alone."""
        return self._breaker.pause()

    @asynccontextmanager
    async def open_session(self) -> AsyncIterator[SmtpSession]:
        """Connect, or go on with the kept connection; it is kept again if it ends well or with a clear answer."""
        about: dict[str, Attribute] = {
            "server.address": self._server.host,
            "server.port": self._server.port,
        }
        with span("smtp session", "client", about=about):
            async with self._open_session() as session:
                yield session

    @asynccontextmanager
    async def _open_session(self) -> AsyncIterator[SmtpSession]:
        try:
            client = await self._pool.acquire()
        except ServerUnreachable as unreachable:
            if not (unreachable.answered and self._pool.in_use):
                self._breaker.record_failure()
            raise
        usable = False
        try:
            yield AiosmtplibSession(client, data_timeout=self._settings.emails_data_timeout_seconds)
            usable = True
        except ServerUnreachable:
            self._breaker.record_failure()
            raise
        except (TemporaryFailure, Refused):
            usable = True
            raise
        finally:
            self._pool.release(client, usable=usable)

    async def stop(self) -> None:
        """Close all connections."""
        await self._pool.stop()

    async def _connect(self) -> aiosmtplib.SMTP:
        client = aiosmtplib.SMTP(
            hostname=self._server.host,
            port=self._server.port,
            username=self._server.username,
            password=self._server.password.get_secret_value() if self._server.username else None,
            local_hostname=self._local_hostname,
            timeout=self._settings.emails_timeout_seconds,
            use_tls=self._server.tls,
            start_tls=False if self._server.tls else _STARTTLS[self._server.starttls],
            tls_context=await self._tls_context(),
        )
        with _while_connecting():
            await client.connect()
        self._breaker.record_success()
        return client

    async def _tls_context(self) -> ssl.SSLContext:
        """Reading the system's certificates takes tens of milliseconds, so it is done once, off the loop."""
        if self._context is None:
            self._context = await asyncio.to_thread(
                _make_context, verify=self._server.verify, authorities=self._settings.emails_smtp_ca_file
            )
        return self._context


_STARTTLS: dict[str, bool | None] = {"auto": None, "required": True, "off": False}


def _tls_version(client: aiosmtplib.SMTP) -> str | None:
    session = client.get_transport_info("ssl_object") if client.is_connected else None
    return session.version() if session is not None else None


def _make_context(*, verify: bool, authorities: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if authorities is not None:
        context.load_verify_locations(cafile=authorities)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@contextmanager
def _while_connecting() -> Iterator[None]:
    """Whatever goes wrong up to the login says nothing about the mail."""
    try:
        yield
    except aiosmtplib.SMTPResponseException as error:
        reply = _reply(error)
        if reply.code == 0:
            raise ProtocolError(reply) from error
        raise ServerUnreachable(reply, answered=True) from error
    except (aiosmtplib.SMTPConnectError, aiosmtplib.SMTPTimeoutError) as error:
        raise ServerUnreachable(_no_reply(error), answered=_listens(error)) from error
    except (aiosmtplib.SMTPException, OSError, TimeoutError, UnicodeError) as error:
        raise ServerUnreachable(_no_reply(error), answered=True) from error


@contextmanager
def _before_the_content() -> Iterator[None]:
    try:
        yield
    except aiosmtplib.SMTPResponseException as error:
        raise _verdict(error, otherwise=ProtocolError) from error
    except (aiosmtplib.SMTPException, *BROKEN) as error:
        raise ServerUnreachable(_no_reply(error), answered=True) from error


def _verdict(error: aiosmtplib.SMTPResponseException, *, otherwise: type[DeliveryError]) -> DeliveryError:
    """Tell what an answer means for the mail (RFC 5321, section 4.2.1)."""
    reply = _reply(error)
    if reply.code in _ABOUT_US:
        return ServerUnreachable(reply, answered=True)
    if 400 <= reply.code < 500:  # noqa: PLR2004  # transient negative
        return TemporaryFailure(reply)
    if 500 <= reply.code < 600:  # noqa: PLR2004  # permanent negative
        return Refused(reply)
    return otherwise(reply)


def _reply(error: aiosmtplib.SMTPResponseException) -> Reply:
    return Reply(max(0, error.code), error.message)


def _no_reply(error: BaseException) -> Reply:
    return Reply(0, str(error) or type(error).__name__)


def _listens(error: aiosmtplib.SMTPException) -> bool:
    """A connection that stood, and then said nothing or broke, was answered by somebody."""
    return isinstance(error.__cause__, aiosmtplib.SMTPTimeoutError | aiosmtplib.SMTPServerDisconnected)
