"""Accepted mail addresses, and the errors for others."""

import pytest

from domains.emails.service.mime import parse_recipient
from domains.users.public import normalised_address
from shared.mail_addresses import read_address

PERSIAN, PERSIAN_IN_ASCII = "a@\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.com", "a@xn--mgba3gch31f060k.com"
SINHALA = "a@\u0dc1\u0dca\u200d\u0dbb\u0dd3.com"


@pytest.mark.parametrize("text", [PERSIAN, PERSIAN_IN_ASCII, PERSIAN_IN_ASCII.upper().replace("A@", "a@")])
def test_a_domain_with_a_joiner_is_taken_in_both_forms(text):
    address = read_address(text)
    assert (address.normalized, address.ascii_email) == (PERSIAN, PERSIAN_IN_ASCII)
    assert normalised_address(text) == PERSIAN_IN_ASCII
    assert parse_recipient(text, None).addr_spec == PERSIAN_IN_ASCII


def test_a_domain_with_a_joiner_that_joins_is_taken():
    assert read_address(SINHALA).normalized == SINHALA


@pytest.mark.parametrize(
    "text",
    [
        "a@b\u200cc.com",
        "a@\u200d.com",
        "a@b.com\u200c",
        "a@\u0646\u0627\u0645\u0647\u200c\u0627\u06cc",
        "a@" + "\u0646\u0647\u200c" * 60 + ".com",
        "a@xn--\u200c.com",
        f"a@xn--{'9' * 80}\u200d.com",
    ],
    ids=ascii,
)
def test_a_joiner_anywhere_else_is_refused(text):
    with pytest.raises(ValueError, match=r"@-sign|domain|characters"):
        read_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "secret@my\u2603secret.com",
        "secret@xn--secret.com",
        "secret\u2603@example.com",
        "sec(ret@example.com",
        "secret@sec_ret.com",
        "secret@sec\u202eret.com",
        "secret@\u05d0secret.com",
        "Secret <secret@example.com>",
        "secret",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("local_letters", [False, True])
def test_a_refusal_quotes_nothing(text, local_letters):
    try:
        read_address(text, local_letters=local_letters)
    except ValueError as error:
        said = str(error)
        assert not set(said.split()) & {"secret", "'secret'"}
        assert not any(sign in said for sign in ("secret", "\u2603", "U+", "'", "_"))
        assert said.endswith(".")
    else:
        assert text == "secret\u2603@example.com"
