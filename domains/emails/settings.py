"""Settings of mail."""

from datetime import timedelta
from email import policy
from email.errors import MessageError
from email.headerregistry import Address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import AfterValidator, AliasChoices, BaseModel, Field, SecretStr

from shared.text import LINE, fits_line

_DEFAULT_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}

StartTls = Literal["auto", "required", "off"]


class SmtpServer(BaseModel):
    """The parts of an SMTP URL. `starttls` has no meaning if `tls` (TLS from the first byte) is set."""

    host: str
    port: int
    username: str | None
    password: SecretStr
    tls: bool
    starttls: StartTls
    verify: bool


def parse_smtp_url(url: str) -> SmtpServer:
    """Parse `smtp://user:password@host:port?starttls=auto|required|off&verify=on|off`, `smtps://` or `smtp+starttls://`.

    With a user name `auto` means `required`, so that a password never travels in the clear unless `off` asks for it.

    Raises:
        ValueError: the URL is invalid. The message does not quote it: it holds a password.
    """
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS:
        message = "The address of the mail server must begin with smtp://, smtps:// or smtp+starttls://."
        raise ValueError(message)
    if not parts.hostname or parts.path.strip("/") or parts.fragment or _is_no_port(parts.netloc):
        message = "The address of the mail server must look like smtp://user:password@host:port."
        raise ValueError(message)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    username = unquote(parts.username) if parts.username else None
    verify = _one_of(options.pop("verify", "on"), "verify", ("on", "off"))
    return SmtpServer(
        host=parts.hostname,
        port=parts.port or _DEFAULT_PORTS[parts.scheme],
        username=username,
        password=SecretStr(unquote(parts.password or "")),
        tls=parts.scheme == "smtps",
        starttls=_starttls(parts.scheme, options, has_login=username is not None),
        verify=verify == "on",
    )


def _starttls(scheme: str, options: dict[str, str], *, has_login: bool) -> StartTls:
    asked = _one_of(options.pop("starttls", "auto"), "starttls", ("auto", "required", "off"))
    if options:
        message = "The address of the mail server takes the options starttls and verify, no other."
        raise ValueError(message)
    if scheme == "smtp+starttls" or asked == "required":
        return "required"
    if asked == "off":
        return "off"
    return "required" if has_login else "auto"


def _one_of(value: str, name: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        message = f"The option {name} of the mail server's address must be one of {', '.join(allowed)}."
        raise ValueError(message)
    return value


def _is_no_port(netloc: str) -> bool:
    _, separator, port = netloc.rpartition("@")[2].rpartition("]")[2].rpartition(":")
    return bool(separator) and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536)  # noqa: PLR2004  # TCP


def _is_smtp_url(url: SecretStr | None) -> SecretStr | None:
    if url is None or not url.get_secret_value():
        return None
    parse_smtp_url(url.get_secret_value())
    return url


def parse_sender(sender: str) -> Address:
    """Parse `Name <local@domain>` or `local@domain`.

    Raises:
        ValueError: it is not exactly one address.
    """
    addresses = _addresses_in(sender) if fits_line(sender) else ()
    if len(addresses) != 1 or not _is_mailbox(addresses[0]):
        message = f"{sender!r} is no sender; write Name <address@domain>."
        raise ValueError(message)
    return addresses[0]


def _addresses_in(header: str) -> tuple[Address, ...]:
    try:
        parsed = policy.default.header_factory("From", header)
    except (MessageError, IndexError):  # the standard library's parser stumbles over a missing domain
        return ()
    return () if parsed.defects else parsed.addresses


def _is_mailbox(address: Address) -> bool:
    # A quoted local part is legal, and read as something else by too many receivers.
    is_plain = address.addr_spec.isascii() and '"' not in address.addr_spec
    return bool(address.username and address.domain) and is_plain


def _is_sender(sender: str | None) -> str | None:
    if sender is not None:
        parse_sender(sender)
    return sender


class EmailsSettings(BaseModel):
    """The mail server, the sender, timeouts and retention."""

    @property
    def give_up_after(self) -> timedelta:
        """Age at which an unsent mail is given up."""
        return timedelta(hours=self.emails_give_up_hours)

    emails_smtp_url: Annotated[SecretStr | None, AfterValidator(_is_smtp_url)] = Field(
        None,
        validation_alias=AliasChoices("TULOU_EMAILS_SMTP_URL", "SMTP_URL", "emails_smtp_url"),
        description="The mail server: smtp://user:password@host:port, smtps:// (TLS from the start) or smtp+starttls://;"
        " ?starttls=auto|required|off, ?verify=off accepts any certificate. Without it mails are only logged,"
        " which production refuses.",
    )
    emails_smtp_ca_file: Path | None = Field(
        None,
        description="Certificates (PEM) that the mail server's own is checked against, beside the system's.",
    )
    emails_sender: Annotated[str | None, AfterValidator(_is_sender)] = Field(
        None,
        description="Sender of every mail, `Name <address@domain>`; by default no-reply at the public URL's host.",
        max_length=250,
    )
    emails_product_name: Annotated[str, LINE] = Field(
        "Tulou", description="The name that mails show.", min_length=1, max_length=100
    )
    emails_timeout_seconds: float = Field(
        20, description="Patience with one answer of the mail server, in seconds.", gt=0, le=60
    )
    emails_data_timeout_seconds: float = Field(
        60, description="Patience with the answer that accepts a mail, in seconds.", gt=0, le=110
    )
    emails_idle_seconds: float = Field(
        30,
        description="How long a connection to the mail server is kept for the next mail, in seconds.",
        ge=0,
        le=300,
    )
    emails_outage_seconds: float = Field(
        30,
        description="The longest pause between tries while the mail server is away, in seconds.",
        gt=0,
        le=3600,
    )
    emails_give_up_hours: float = Field(
        120,
        description="Age at which an unsent mail is given up, in hours (RFC 5321: 4-5 days).",
        gt=0,
        le=720,
    )
    emails_keep_days: int = Field(
        365, description="Days after which a mail that has ended is deleted.", ge=30, le=36_500
    )
