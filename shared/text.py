"""The characters that text may hold: one definition for names, subjects, mail headers, logs and all text fields.

The refused characters are fixed ranges, not categories of `unicodedata`: an emoji that is newer than this Python is
unassigned to it and must be accepted, while Unicode never reassigns what is refused here (its stability policy covers
controls, surrogates, noncharacters and default ignorable code points). The base is the FreeformClass of RFC 8264,
which refuses controls and default ignorable code points. It would also refuse what people need, so accepted are:

- the joiners U+200C and U+200D (Persian, Sinhala, families of emoji) and U+200B, which separates Khmer and Thai words,
- variation selectors, and tag characters (the flags of England, Scotland and Wales),
- private use (names of people that no standard encodes yet) and unassigned code points (newer emoji),
- spaces other than U+0020, such as U+3000 between Japanese names.
"""

import re
import unicodedata

from pydantic import AfterValidator, BeforeValidator

from shared.normal_forms import normalised

_NO_CHARACTERS = "\ud800-\udfff\ufdd0-\ufdef" + "".join(
    f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
)
"""Lone surrogates and noncharacters (The Unicode Standard, section 23.7): no text at all."""

_INVISIBLE = (
    "\u00ad"  # soft hyphen
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks, overrides and isolates of direction
    "\u2060-\u2065\u206a-\u206f\ufff9-\ufffb\ufeff"  # operators, deprecated formats, annotations, byte order mark
    "\ufff0-\ufff8\U000e0000-\U000e001f\U000e0080-\U000e00ff\U000e01f0-\U000e0fff"  # reserved to be invisible
)
_NOT_IN_LINES = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029{_INVISIBLE}{_NO_CHARACTERS}]")
_NOT_IN_PARAGRAPHS = re.compile(f"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f{_NO_CHARACTERS}]")

_ALSO_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0020-\U000e007f\U000e0100-\U000e01ef]"
)
"""Accepted but invisible: joiners, selectors, tags, fillers, the empty Braille cell."""


_MOST_COMPOSED = 4
"""Characters that NFC may compose into one (UAX #15, section 15): text is at most so many times as long as its NFC."""


def composed(text: str) -> str:
    """Return text in NFC: equal text is equal, on whatever system it was typed."""
    return normalised("NFC", text)


def is_longer(text: str, limit: int) -> bool:
    """Return whether text in NFC has more than `limit` characters. What is far longer is not composed for it."""
    return len(text) > limit * _MOST_COMPOSED or len(composed(text)) > limit


def fits_line(text: str) -> bool:
    """Whether text is one line without line ends, control characters and marks that change what is shown."""
    return _NOT_IN_LINES.search(text) is None


def as_line(text: str, *, instead: str = "") -> str:
    """Return text with each character that can't stand in a line replaced: for what is shown, logged or kept."""
    return _NOT_IN_LINES.sub(instead, text)


def is_blank(text: str) -> bool:
    """Whether a text is invisible: only spaces, joiners, or marks without a base letter."""
    return all(unicodedata.category(character)[0] in "ZM" for character in _ALSO_UNSEEN.sub("", text))


def check_line(text: str) -> str:
    """Return a text of one line. Raises ValueError: it can't stand in a line, or is blank."""
    found = _NOT_IN_LINES.search(text)
    if found:
        message = f"must not contain {_named(found[0])}"
        raise ValueError(message)
    if is_blank(text):
        message = "must contain a visible character"
        raise ValueError(message)
    return text


def check_paragraphs(text: str) -> str:
    """Return a text of many lines; their direction is their own. Raises ValueError: it holds other controls."""
    found = _NOT_IN_PARAGRAPHS.search(text)
    if found:
        message = f"must not contain {_named(found[0])}"
        raise ValueError(message)
    return text


def _named(character: str) -> str:
    name = unicodedata.name(character, "")
    return f"U+{ord(character):04X} ({name})" if name else f"U+{ord(character):04X}"


def composed_within(limit: int) -> BeforeValidator:
    """Return a validator that composes text, for `Annotated` behind `max_length=limit`, which counts what is kept.

    Text that would be too long in NFC too is left as it is, so that the limit refuses it.
    """
    most = limit * _MOST_COMPOSED
    return BeforeValidator(
        lambda value: composed(value) if isinstance(value, str) and len(value) <= most else value
    )


TRIMMED = BeforeValidator(lambda value: value.strip() if isinstance(value, str) else value)
LINE = AfterValidator(check_line)
PARAGRAPHS = AfterValidator(check_paragraphs)
