"""Building of MIME messages (RFC 5322), in 7 bits wherever the address allows it."""

import ipaddress
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import urlsplit
from uuid import UUID

from domains.emails.errors import AddressRefused, HeaderRefused
from domains.emails.service.headers import address_field, check_fields, field, text_field
from domains.emails.service.rendering import Rendered
from domains.emails.settings import EmailsSettings, parse_sender
from shared.mail_addresses import read_address
from shared.text import as_line, fits_line

_MAX_LINE = 990
"""Octets of a line that is sent as it is; RFC 5322, section 2.1.1 allows 998."""

_MAX_HEADER = 500


@dataclass(frozen=True, slots=True)
class BuiltMime:
    """A MIME message."""

    recipient: Address
    message_id: str
    content: bytes


def mail_host(public_url: str) -> str:
    """Return the host name for EHLO and Message-IDs: a domain, or an address literal (RFC 5321, section 4.1.3)."""
    host = urlsplit(public_url).hostname or "localhost"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.encode("idna").decode("ascii")
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"  # noqa: PLR2004  # the protocol's name


def sender_of(settings: EmailsSettings, host: str) -> Address:
    """Return the sender of all mails, by default `no-reply` at `host`, or at localhost if that is an IP address."""
    if settings.emails_sender:
        return parse_sender(settings.emails_sender)
    domain = "localhost" if host.startswith("[") else host
    return Address(display_name=settings.emails_product_name, username="no-reply", domain=domain)


def parse_recipient(address: str, name: str | None) -> Address:
    """Return exactly one recipient. A domain outside ASCII is written in its ASCII form (IDNA).

    Raises:
        AddressRefused: it is not exactly one address.
        HeaderRefused: the name holds control characters.
    """
    try:
        parsed = read_address(address, local_letters=True, special_domains=True)
    except ValueError as error:
        raise AddressRefused from error
    domain = parsed.ascii_domain or parsed.domain
    return Address(display_name=one_line(name or ""), username=parsed.local_part, domain=domain)


def one_line(value: str) -> str:
    """Return a header's value unchanged.

    Raises:
        HeaderRefused: it holds a line break or another control character, or is too long.
    """
    if not fits_line(value) or len(value) > _MAX_HEADER:
        raise HeaderRefused
    return value


def as_header(value: str) -> str:
    """Return a value that `one_line` accepts: control characters become spaces, and the end is cut off."""
    return as_line(value, instead=" ")[:_MAX_HEADER]


def build_mime(
    rendered: Rendered,
    *,
    email_id: UUID,
    sender: Address,
    recipient: Address,
    host: str,
    now: datetime,
    locale: str | None,
) -> BuiltMime:
    """Build the whole message, its lines ending in CRLF.

    Raises:
        HeaderRefused: a header can't be written safely.
    """
    message_id = f"<{email_id}@{host}>"
    international = not recipient.addr_spec.isascii()
    message = EmailMessage(policy.SMTPUTF8 if international else policy.SMTP)
    try:
        message.set_content(_unix_lines(rendered.text), cte=_encoding_of(rendered.text))
        message.add_alternative(_unix_lines(rendered.html), subtype="html", cte="quoted-printable")
        body = message.as_bytes()
    except (MessageError, ValueError) as error:
        raise HeaderRefused from error
    head = {
        "From": address_field("From", sender),
        "To": address_field("To", recipient),
        "Subject": text_field("Subject", one_line(rendered.subject)),
        "Date": field("Date", format_datetime(now)),
        "Message-ID": field("Message-ID", message_id),
        "Auto-Submitted": field("Auto-Submitted", "auto-generated"),  # RFC 3834: prevents automatic replies
    }
    if locale is not None:
        head["Content-Language"] = text_field("Content-Language", one_line(locale))
    content = b"".join(head.values()) + body
    names = (*head, "MIME-Version", "Content-Type")
    check_fields(content, names=names, addresses={"From": sender, "To": recipient})
    return BuiltMime(recipient, message_id, content)


def _unix_lines(text: str) -> str:
    """Return text with LF line ends only: bare CR or LF on the wire allow SMTP smuggling."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")


def _encoding_of(text: str) -> str:
    """Return 7bit where possible, which stays readable in every tool."""
    plain = text.isascii() and all(len(line) <= _MAX_LINE for line in text.splitlines())
    return "7bit" if plain else "quoted-printable"
