"""SMTP with aiosmtplib (RFC 5321): pooled connections, and errors by what they mean for the mail."""

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

# 421: the server is shutting down (RFC 5321, section 3.8); the others ask for a login or TLS (RFC 4954, section 6).
_NOT_ABOUT_THE_MAIL = frozenset({421, 530, 534, 535, 538})


class AiosmtplibSession:
    """An SMTP session for one mail, on a pooled connection."""

    def __init__(self, client: aiosmtplib.SMTP, *, data_timeout: float) -> None:
        self._client = client
        self._data_timeout = data_timeout
        self.tls: str | None = _tls_version(client)

    async def send_envelope(self, envelope: Envelope) -> None:
        """Send MAIL and RCPT."""
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
        """Send DATA; aiosmtplib escapes leading dots and ends every line with CRLF."""
        try:
            code, text = await self._client.data(content, timeout=self._data_timeout)
        except aiosmtplib.SMTPResponseException as error:
            raise _verdict(error, otherwise=OutcomeUnknown) from error
        except (aiosmtplib.SMTPException, *BROKEN) as error:
            raise OutcomeUnknown(_no_reply(error)) from error
        return Reply(code, text)

    async def _greet(self) -> None:
        """Send EHLO, unless connecting already did."""
        if self._client.is_ehlo_or_helo_needed:
            try:
                await self._client.ehlo()
            except aiosmtplib.SMTPHeloError:
                await self._client.helo()

    def _options(self, envelope: Envelope, *, international: bool) -> list[str]:
        # The server can then refuse a mail that is too large before it is sent (RFC 1870).
        options = [f"SIZE={envelope.size}"] if self._client.supports_extension("size") else []
        if not international:
            return options
        if not self._client.supports_extension("smtputf8"):
            raise Refused(
                Reply(0, "The mail server takes no addresses with letters outside ASCII (RFC 6531).")
            )
        return [*options, "BODY=8BITMIME", "SMTPUTF8"]


class SmtpGateway:
    """The mail server of the settings, with a connection for each mail in delivery."""

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
        """Return how long not to connect."""
        return self._breaker.pause()

    @asynccontextmanager
    async def open_session(self) -> AsyncIterator[SmtpSession]:
        """Acquire a connection; it is reusable if the session succeeds or the server refuses the mail."""
        about: dict[str, Attribute] = {"server.address": self._server.host, "server.port": self._server.port}
        with span("smtp session", "client", about=about):
            client, usable = await self._acquire(), False
            try:
                yield AiosmtplibSession(client, data_timeout=self._settings.emails_data_timeout_seconds)
                usable = True
            except ServerUnreachable:
                self._breaker.record_failure()
                raise
            # The server has replied in order, so the connection is fine for the next mail.
            except (TemporaryFailure, Refused):
                usable = True
                raise
            finally:
                self._pool.release(client, usable=usable)

    async def _acquire(self) -> aiosmtplib.SMTP:
        try:
            return await self._pool.acquire()
        except ServerUnreachable as unreachable:
            # A refusal while other connections work is a limit, not an outage.
            if not (unreachable.answered and self._pool.in_use):
                self._breaker.record_failure()
            raise

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
        """Return the TLS context, made once and in a thread: reading certificates takes tens of milliseconds."""
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
    # Older versions are broken (RFC 8996).
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if authorities is not None:
        context.load_verify_locations(cafile=authorities)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@contextmanager
def _while_connecting() -> Iterator[None]:
    """Translate errors up to the login: none of them is about the mail."""
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
    """Translate errors up to DATA: the server has not accepted the mail."""
    try:
        yield
    except aiosmtplib.SMTPResponseException as error:
        raise _verdict(error, otherwise=ProtocolError) from error
    except (aiosmtplib.SMTPException, *BROKEN) as error:
        raise ServerUnreachable(_no_reply(error), answered=True) from error


def _verdict(error: aiosmtplib.SMTPResponseException, *, otherwise: type[DeliveryError]) -> DeliveryError:
    """Return what a reply means for the mail (RFC 5321, section 4.2.1)."""
    reply = _reply(error)
    if reply.code in _NOT_ABOUT_THE_MAIL:
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
    """Return whether a TCP connection was established before it timed out or broke."""
    return isinstance(error.__cause__, aiosmtplib.SMTPTimeoutError | aiosmtplib.SMTPServerDisconnected)
