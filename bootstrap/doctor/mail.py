"""Check of the mail server: connection, TLS and login."""

import ssl

import aiosmtplib

from bootstrap.container import TulouContainer
from bootstrap.diagnosis.errors import CheckFailed
from bootstrap.diagnosis.places import Place, causes, unreachable
from bootstrap.settings.model import Settings
from domains.emails.gateway.transport import DeliveryError
from domains.emails.settings import SmtpServer, parse_smtp_url

_WANTS_TLS = frozenset({530, 538})
"""Replies that ask for TLS first (RFC 3207, section 4; RFC 4954, section 6)."""


def mail_place(settings: Settings) -> Place | None:
    """Return the address of the mail server in the settings."""
    server = _server(settings)
    return None if server is None else Place("The mail server", "SMTP_URL", server.host, server.port)


async def mail_server(container: TulouContainer) -> str:
    """Connect, negotiate TLS and log in, without sending anything."""
    settings = container.settings()
    server, place = _server(settings), mail_place(settings)
    if server is None or place is None:
        raise CheckFailed(
            "No mail server is set: mails are only logged.", "Set SMTP_URL=smtp://user:password@host:port."
        )
    try:
        async with container.emails.transport().open_session() as session:
            login = f"signed in as {server.username}" if server.username else "without a login"
            return f"{place}, TLS {session.tls or 'off'}, {login}"
    except DeliveryError as ended:
        raise await _refused(place, server, ended) from ended


def _server(settings: Settings) -> SmtpServer | None:
    url = settings.emails_smtp_url
    return None if url is None else parse_smtp_url(url.get_secret_value())


async def _refused(place: Place, server: SmtpServer, ended: DeliveryError) -> CheckFailed:
    found = list(causes(ended))
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in found):
        return CheckFailed(
            f"{place} shows a certificate that is not trusted for {server.host}.",
            "Put the name in the certificate into SMTP_URL, or its authority into TULOU_EMAILS_SMTP_CA_FILE.",
        )
    if any(isinstance(each, ssl.SSLError) for each in found):
        return CheckFailed(
            f"{place} does not speak TLS the way that SMTP_URL says.",
            "Use smtps:// for TLS from the first byte (port 465), smtp+starttls:// for STARTTLS (port 587).",
        )
    if any(isinstance(each, aiosmtplib.SMTPAuthenticationError) for each in found):
        return _not_let_in(place, server, ended)
    if any(type(each) is aiosmtplib.SMTPException for each in found):  # the server lacks a required extension
        return _lacks_extension(place, server)
    if any(isinstance(each, aiosmtplib.SMTPResponseException) for each in found):
        return CheckFailed(
            f"{place} does not let this machine in (reply {ended.reply.code}).",
            "Allow this machine's address at the mail server, or name a login in SMTP_URL; its log has the reason.",
        )
    failure = await unreachable(place)
    return failure or CheckFailed(
        f"{place} accepts connections and does not speak SMTP the way that SMTP_URL says.",
        "Check the port: smtps:// is for 465, smtp+starttls:// for 587, smtp:// for 25.",
    )


def _not_let_in(place: Place, server: SmtpServer, ended: DeliveryError) -> CheckFailed:
    if ended.reply.code in _WANTS_TLS:
        return CheckFailed(
            f"{place} takes a login only over TLS (reply {ended.reply.code}).",
            "Use smtp+starttls:// or smtps:// in SMTP_URL.",
        )
    return CheckFailed(
        f"{place} refuses the login of {server.username} (reply {ended.reply.code}).",
        "Correct user and password in SMTP_URL; write special characters in percent-encoding.",
    )


def _lacks_extension(place: Place, server: SmtpServer) -> CheckFailed:
    if server.starttls == "required" and server.username is None:
        return CheckFailed(
            f"{place} offers no STARTTLS, which SMTP_URL requires.",
            "Use smtps:// if it speaks TLS from the first byte; ?starttls=off only on a network that you trust.",
        )
    if server.starttls == "off" or server.tls:
        return CheckFailed(
            f"{place} offers no login that the program knows.",
            "Take user and password out of SMTP_URL, or turn AUTH on at the mail server.",
        )
    return CheckFailed(
        f"{place} offers no STARTTLS, which a login requires, or no login after it.",
        "Turn STARTTLS and AUTH on at the mail server, or take user and password out of SMTP_URL; ?starttls=off sends"
        " the password unencrypted.",
    )
