"""Every name that the API accepts gives a mail exactly one recipient, for every parser of headers."""

import random
import re
import sys
import unicodedata
from collections.abc import Iterator
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.parser import HeaderParser

import pytest
from pydantic import TypeAdapter, ValidationError

from domains.emails.errors import HeaderRefused
from domains.emails.service.headers import MAX_DISPLAY_NAME, address_field, check_fields, text_field
from domains.users.public import NameText
from shared.text import fits_line
from tests.domains.emails.test_names_in_mails import recipients
from tests.domains.emails.test_writing import built_mime

NAME: TypeAdapter[str] = TypeAdapter(NameText)
TO = Address(username="ann", domain="example.com")
EVERY_NTH_WITHOUT_A_MEANING = 97


def characters() -> Iterator[str]:
    """Yield each character that this Python knows, and some of those that it doesn't."""
    for point in range(sys.maxunicode + 1):
        has_meaning = unicodedata.category(chr(point)) not in {"Cn", "Co", "Cs"}
        if has_meaning or point % EVERY_NTH_WITHOUT_A_MEANING == 0:
            yield chr(point)


def accepted(name: str) -> str | None:
    try:
        return NAME.validate_python(name)
    except ValidationError:
        return None


def written(name: str) -> bytes:
    field = address_field("To", Address(name, "ann", "example.com")) + b"\r\n"
    check_fields(field, names=["To"], addresses={"To": Address(name, "ann", "example.com")})
    return field


def test_every_character_of_unicode_is_mailed_as_it_is_accepted():
    allowed = [character for character in characters() if fits_line(character)]
    assert len(allowed) > 150_000
    for start in range(0, len(allowed), 80):
        # A letter before each would hide what happens to marks at the start; one at the end keeps it from being blank.
        name = accepted("".join(allowed[start : start + 80]) + "x")
        if name is not None:  # composing made it longer than a name may be
            assert recipients(written(name)) == [(name, "ann@example.com")]


def test_characters_that_mean_something_to_parsers_are_mailed_as_they_are_accepted():
    chance = random.Random(20261130)
    pieces = [
        *"<>@,;:\"\\()[]. '=?_-",
        " <other@example>, ",
        "=?utf-8?q?a?=",
        "\u200d",
        "ö",
        "👨",
        "a" * 30,
        ", x",
    ]
    for _ in range(3_000):
        name = accepted("".join(chance.choices(pieces, k=chance.randint(1, 12))))
        if name is not None:
            assert recipients(written(name)) == [(name, "ann@example.com")]


@pytest.mark.parametrize("length", range(40, 100, 3))
def test_no_length_of_a_name_folds_into_a_second_address(length):
    name = "a" * length + " <other@example>, "
    content = built_mime(name=name)
    assert recipients(content) == [(name, "ann@example.com")]
    head = content.partition(b"\r\n\r\n")[0]
    assert b"other" not in head
    assert max(map(len, head.split(b"\r\n"))) <= 76


@pytest.mark.parametrize("name", ["Ann", "Ann Lee", "O'Brien-Smith", "A 1"])
def test_plain_names_stay_readable(name):
    assert written(name) == f"To: {name} <ann@example.com>\r\n\r\n".encode()


@pytest.mark.parametrize(
    "bad",
    [
        # What `email` made of a quoted display name that it had to fold (CPython issue 100884 and its kin).
        b"To: " + b"a" * 60 + b" <other@example>,\r\n  <ann@example.com>\r\n\r\n",
        b"To: ann@example.com, other@example.com\r\n\r\n",
        b"To: ann@example.com <other@example.com>\r\n\r\n",
        b'To: "a" <ann@example.com>\r\n\r\n',
        b"To: friends: ann@example.com;\r\n\r\n",
        b"To: <ann@example.com>\r\nTo: <other@example.com>\r\n\r\n",
        b"To: <ann@example.com>\r\nBcc: <other@example.com>\r\n\r\n",
        b"To: <ann@example.com>\r\nCc: <other@example.com>\r\n\r\n",
        b"To: (\r\n <ann@example.com>\r\n\r\n",
        b"To: <@other.example:ann@example.com>\r\n\r\n",
        b"To:\r\n\r\n",
    ],
)
def test_bytes_that_somebody_could_read_otherwise_are_refused(bad):
    with pytest.raises(HeaderRefused):
        check_fields(bad, names=["To"], addresses={"To": TO})


def test_a_field_of_addresses_that_was_not_asked_about_is_refused():
    field = b"To: <ann@example.com>\r\nReply-To: <ann@example.com>\r\n\r\n"
    with pytest.raises(HeaderRefused):
        check_fields(field, names=["To", "Reply-To"], addresses={"To": TO})


def test_a_display_name_has_a_longest():
    with pytest.raises(HeaderRefused):
        address_field("To", Address("x" * (MAX_DISPLAY_NAME + 1), "ann", "example.com"))


@pytest.mark.parametrize(
    "subject", ["Hello", "x" * 300, "=?utf-8?q?a?=", " a  b ", "Grüße an 👨\u200d👩\u200d👧 " * 20, ""]
)
def test_a_subject_is_read_back_as_it_was(subject):
    field = text_field("Subject", subject)
    assert max(map(len, field.split(b"\r\n"))) <= 76
    raw = HeaderParser().parsestr(field.decode())["Subject"]
    words = re.findall(r"=\?utf-8\?b\?[^?]*\?=", raw)
    assert (str(make_header(decode_header(raw))) if words else raw) == subject
