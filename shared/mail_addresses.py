"""The rules for mail addresses, in one place: an address is used exactly as given, never decoded."""

import re

import idna
from email_validator import EmailNotValidError, ValidatedEmail, validate_email

MAX_ADDRESS = 254
"""Characters of an address (RFC 5321, section 4.5.3.1.3, without the angle brackets)."""
_JOINERS = re.compile("[\u200c\u200d]")
_QUOTED = re.compile(r"(?<!After Unicode normalization): .*")


def read_address(text: str, *, local_letters: bool = False, special_domains: bool = False) -> ValidatedEmail:
    """Check the form, not whether mail arrives.

    `local_letters`: the local part may have letters outside ASCII (RFC 6531). `special_domains`: so may be what is no
    domain of the internet, as `localhost`. Encoded words (RFC 2047) are refused: they have no place in addresses, and
    a program that decodes them would write to another address.

    Raises:
        ValueError: it isn't exactly one address; the message says why, and holds nothing of the address.
    """
    if len(text) > MAX_ADDRESS:
        message = f"The email address is longer than {MAX_ADDRESS} characters."
        raise ValueError(message)
    if "=?" in text:
        message = "The email address holds an encoded word."
        raise ValueError(message)
    if not local_letters and not text.rpartition("@")[0].isascii():
        message = (
            "The part before the @ must be in ASCII: few mail servers take other letters there (RFC 6531)."
        )
        raise ValueError(message)
    joined = _joined_domain(text)
    try:
        address = validate_email(
            text if joined is None else f"{text.rpartition('@')[0]}@{_JOINERS.sub('', joined)}",
            check_deliverability=False,
            allow_smtputf8=local_letters,
            globally_deliverable=not special_domains,
        )
    except EmailNotValidError as error:
        raise ValueError(_reason(error)) from error
    return address if joined is None else _with_domain(address, joined)


def _joined_domain(text: str) -> str | None:
    """Return the domain in Unicode if it has joiners: the library refuses what IDNA allows (RFC 5892, CONTEXTJ)."""
    domain = text.rpartition("@")[2]
    try:
        if len(domain) <= MAX_ADDRESS and "xn--" in domain.lower():
            domain = idna.decode(domain)
        return idna.uts46_remap(domain, std3_rules=False) if _JOINERS.search(domain) else None
    except UnicodeError:  # the base of the errors of `idna`; the library will tell
        return None


def _with_domain(address: ValidatedEmail, domain: str) -> ValidatedEmail:
    """Give an address that was checked without the joiners its domain."""
    try:
        address.ascii_domain = idna.encode(domain).decode("ascii")
    except UnicodeError as error:
        message = "The part after the @-sign is no valid domain name."
        raise ValueError(message) from error
    address.domain = idna.decode(address.ascii_domain)
    address.normalized = f"{address.local_part}@{address.domain}"
    if address.ascii_local_part is not None:
        address.ascii_email = f"{address.ascii_local_part}@{address.ascii_domain}"
    return address


def _reason(error: EmailNotValidError) -> str:
    """Return the library's message without its quotations of the address."""
    said = str(error)
    if isinstance(error.__cause__, idna.IDNAError):
        said = said.partition(" (")[0]
    return _QUOTED.sub("", said).rstrip(".") + "."
