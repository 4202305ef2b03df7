"""What a mail address is, for everybody who takes one: exactly what will be written to, and nothing to be decoded."""

from email_validator import EmailNotValidError, ValidatedEmail, validate_email

MAX_ADDRESS = 254
"""Characters of an address (RFC 5321, section 4.5.3.1.3, without the angle brackets)."""


def read_address(text: str, *, local_letters: bool = False, special_domains: bool = False) -> ValidatedEmail:
    """Check the form, not whether mail arrives.

    `local_letters`: the local part may have letters outside ASCII (RFC 6531). `special_domains`: so may be what is no
    domain of the internet, as `localhost`. Encoded words (RFC 2047) are refused: they have no place in addresses, and
    whoever decodes them all the same writes to somebody else.

    Raises:
        ValueError: it isn't exactly one address; the text says why.
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
    try:
        return validate_email(
            text,
            check_deliverability=False,
            allow_smtputf8=local_letters,
            globally_deliverable=not special_domains,
        )
    except EmailNotValidError as error:
        raise ValueError(str(error)) from error
