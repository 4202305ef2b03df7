"""From what a mail says to the bytes that every attempt sends: RFC 5322, 7 bits wherever the address allows it."""

import ipaddress
from datetime import datetime
from email import policy
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import format_datetime
from urllib.parse import urlsplit
from uuid import UUID

from domains.emails.errors import AddressRefused, HeaderRefused
from domains.emails.service.rendering import Rendered
from shared.mail_addresses import read_address

_MAX_LINE = 990
"""Octets of a line that is sent as it is; RFC 5322, section 2.1.1 allows 998."""

_MAX_HEADER = 500


def mail_host(public_url: str) -> str:
    """Return our name for mail servers and Message-IDs: a domain, or an address literal (RFC 5321, section 4.1.3)."""
    host = urlsplit(public_url).hostname or "localhost"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.encode("idna").decode("ascii")
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"  # noqa: PLR2004  # the protocol's name


def default_sender(product: str, host: str) -> Address:
    """Return the sender where none is set; a mail address needs a domain, which a bare IP address isn't."""
    return Address(
        display_name=product, username="no-reply", domain="localhost" if host.startswith("[") else host
    )


def parse_recipient(address: str, name: str | None) -> Address:
    """Return exactly one recipient. A domain outside ASCII is written in its ASCII form (IDNA).

    Raises:
        AddressRefused: it isn't exactly one address.
        HeaderRefused: the name holds control characters.
    """
    try:
        parsed = read_address(address, local_letters=True, special_domains=True)
    except ValueError as error:
        raise AddressRefused from error
    domain = parsed.ascii_domain or parsed.domain
    return Address(display_name=one_line(name or ""), username=parsed.local_part, domain=domain)


def one_line(value: str) -> str:
    """Return a header's value as it is.

    Raises:
        HeaderRefused: it holds a line break, another control character or half of a surrogate pair, or is too long.
    """
    if not all(letter.isprintable() for letter in value) or len(value) > _MAX_HEADER:
        raise HeaderRefused
    return value


def freeze(
    rendered: Rendered,
    *,
    email_id: UUID,
    sender: Address,
    recipient: Address,
    host: str,
    now: datetime,
    locale: str | None,
) -> tuple[str, bytes]:
    """Return the Message-ID and the whole message, its lines ending in CRLF.

    Raises:
        HeaderRefused: a header can't be written safely.
    """
    message_id = f"<{email_id}@{host}>"
    international = not recipient.addr_spec.isascii()
    message = EmailMessage(policy.SMTPUTF8 if international else policy.SMTP)
    headers = {
        "From": sender,
        "To": recipient,
        "Subject": one_line(rendered.subject),
        "Date": format_datetime(now),
        "Message-ID": message_id,
        "Auto-Submitted": "auto-generated",  # RFC 3834: keeps holiday replies away
    }
    if locale is not None:
        headers["Content-Language"] = one_line(locale)
    try:
        # The content first: what it finds set already, it takes for headers of the text part.
        message.set_content(_unix_lines(rendered.text), cte=_encoding_of(rendered.text))
        message.add_alternative(_unix_lines(rendered.html), subtype="html", cte="quoted-printable")
        for name, value in headers.items():
            message[name] = value
        content = message.as_bytes()
    except (MessageError, ValueError) as error:
        raise HeaderRefused from error
    _check_headers(content, {*headers, "MIME-Version", "Content-Type"})
    return message_id, content


def _check_headers(content: bytes, expected: set[str]) -> None:
    """Read the bytes as a receiver would: exactly our headers, each once, whatever the serializer made of them."""
    found = BytesParser(policy=policy.SMTPUTF8).parsebytes(content, headersonly=True).keys()
    if len(found) != len(expected) or set(found) != expected:
        raise HeaderRefused


def _unix_lines(text: str) -> str:
    """A bare CR or LF on the wire is how one mail is made to look like two; so there is only one kind of line end."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")


def _encoding_of(text: str) -> str:
    """Text that can travel as it is stays readable in every tool."""
    plain = text.isascii() and all(len(line) <= _MAX_LINE for line in text.splitlines())
    return "7bit" if plain else "quoted-printable"
