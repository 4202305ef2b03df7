"""Header fields as bytes (RFC 5322), written and folded here, and parsed again as a receiver would.

The standard library folds an address by its parsed tokens, and in several versions of Python loses the quotes of a long
display name: `"aaa... <b@example>, " <a@example>` became two addresses. So addresses are folded here.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from email import policy
from email.errors import MessageError
from email.headerregistry import Address
from email.parser import HeaderParser
from email.utils import getaddresses
from typing import Any

from domains.emails.errors import HeaderRefused

MAX_DISPLAY_NAME = 250
"""Characters of a display name; a longer one is refused."""
_LINE = 76
"""Characters of a line that holds an encoded word (RFC 2047, section 2)."""
_WORD_OCTETS = 45
"""Octets that one encoded word carries: 72 of its 75 characters, in whole groups of Base64."""
_WRAPPING = len("=?utf-8?b??=")
_WORDS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9'-]| (?! ))*(?<! )")
"""Display names that need no encoding: atoms with single spaces."""
_ENCODED = re.compile(r"=\?utf-8\?b\?([A-Za-z0-9+/]+={0,2})\?=")
_READ_ADDRESS = re.compile(
    rf"(?:(?P<words>{_WORDS.pattern})|(?P<encoded>{_ENCODED.pattern}(?: {_ENCODED.pattern})*)|) ?"
    r"<(?P<address>[^\s\x00-\x1f\x7f<>()\[\]\\,;:@\"]+@(?:[^\s\x00-\x1f\x7f<>()\[\]\\,;:@\"]+|\[[A-Za-z0-9.:]+\]))>"
)
ADDRESS_FIELDS = ("From", "Sender", "Reply-To", "To", "Cc")


def field(name: str, value: str) -> bytes:
    """Return a structured field; `value` is ASCII without line breaks."""
    return f"{name}: {value}\r\n".encode("ascii")


def text_field(name: str, value: str) -> bytes:
    """Return an unstructured field: unchanged if it is short ASCII, else in encoded words."""
    room = _LINE - len(name) - 2
    plain = value.isascii() and "=?" not in value and value == value.strip() and len(value) <= room
    return field(name, value) if plain else _folded(name, _encoded(value, room))


def address_field(name: str, address: Address) -> bytes:
    """Return a field with one address. Its display name is plain or encoded words, never a quoted string.

    Raises:
        HeaderRefused: the display name is too long.
    """
    shown, room = address.display_name, _LINE - len(name) - 2
    if len(shown) > MAX_DISPLAY_NAME:
        raise HeaderRefused
    is_plain = len(shown) <= room and _WORDS.fullmatch(shown)
    words = [shown] if is_plain else [*_encoded(shown, room)]
    # Not with str(Address), which would quote the display name.
    return _folded(name, [*words, f"<{address.addr_spec}>"])


def check_fields(content: bytes, *, names: Iterable[str], addresses: Mapping[str, Address]) -> None:
    """Parse the message as a receiver would: it must have these fields once, and one address in each of `addresses`.

    Three parsers must agree: that of this module, which knows only what is written here, and both of the standard
    library.

    Raises:
        HeaderRefused: a parser reads anything else.
    """
    expected = sorted(names)
    head = content.partition(b"\r\n\r\n")[0].decode("utf-8")
    lines = [*_fields(head)]
    read = HeaderParser(policy=policy.SMTPUTF8).parsestr(head)
    if not sorted(read.keys()) == sorted(name for name, _ in lines) == expected:
        raise HeaderRefused
    if set(addresses) != set(ADDRESS_FIELDS).intersection(expected):
        raise HeaderRefused
    try:
        are_read = [
            _is_read_by_all(value, read[name], addresses[name]) for name, value in lines if name in addresses
        ]
    except (
        MessageError,
        ValueError,
        IndexError,
    ) as error:  # the library's parser raises these for some input
        raise HeaderRefused from error
    if not all(are_read):
        raise HeaderRefused


def _fields(head: str) -> Iterator[tuple[str, str]]:
    """Yield the header fields, unfolded (RFC 5322, section 2.2.3)."""
    for line in re.split(r"\r\n(?![ \t])", head):
        name, _, value = line.partition(":")
        yield name, value.replace("\r\n", "").strip(" ")


def _is_read_by_all(value: str, read: Any, address: Address) -> bool:
    ours = _READ_ADDRESS.fullmatch(value)
    if ours is None:
        return False
    octets = b"".join(b64decode(word) for word in _ENCODED.findall(ours["encoded"] or ""))
    shown = ours["words"] or octets.decode("utf-8")
    # Only addresses are compared: some versions of the library put a space between encoded words.
    by_library = [found for _, found in getaddresses([value])], [found.addr_spec for found in read.addresses]
    alone = [address.addr_spec]
    return (shown, [ours["address"]], *by_library) == (address.display_name, alone, alone, alone)


def _encoded(text: str, room: int) -> Iterator[str]:
    """Yield encoded words (RFC 2047), each of whole characters (section 5). `room`: characters of the first one."""
    waiting, most = b"", min(_WORD_OCTETS, (room - _WRAPPING) // 4 * 3)
    for character in text:
        octets = character.encode("utf-8")
        if len(waiting) + len(octets) > most:
            yield _word(waiting)
            waiting, most = b"", _WORD_OCTETS
        waiting += octets
    if waiting:
        yield _word(waiting)


def _word(octets: bytes) -> str:
    return f"=?utf-8?b?{b64encode(octets).decode('ascii')}?="


def _folded(name: str, parts: Iterable[str]) -> bytes:
    """Return a field whose parts are separated by a space, or by a folded line."""
    lines = [f"{name}:"]
    for part in parts:
        if len(lines[-1]) + 1 + len(part) > _LINE and lines[-1] != f"{name}:":
            lines.append("")
        lines[-1] += f" {part}"
    return ("\r\n".join(lines) + "\r\n").encode("utf-8")
