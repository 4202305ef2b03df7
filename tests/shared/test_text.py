"""Characters that text may contain, tested with every code point."""

import sys
import unicodedata

import pytest

from shared.text import as_line, check_line, check_paragraphs, composed, fits_line, is_blank

EVERY = [chr(point) for point in range(sys.maxunicode + 1)]
DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@pytest.mark.parametrize(
    "text",
    [
        "شب\u200cنم",
        "ශ්\u200dරී",
        "👨\u200d👩\u200d👧",
        "❤\ufe0f",
        "葛\U000e0100飾",
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "\U0001fae9 newer than Unicode 15",
        "\U0001faea",
        "\U000323b0",
        "山田\u3000太郎",
        "Jean\u00a0Luc",
        "ភាសា\u200bខ្មែរ",
        "שלום",
        "𐍈𐌰",
        "\ue000",
        "O'Brien-Smith, Jr. <x>",
    ],
)
def test_text_of_every_script_can_stand_in_a_line(text: str) -> None:
    assert check_line(text) == text
    assert as_line(text) == text


@pytest.mark.parametrize(
    "character", [*DIRECTIONS, *"\x00\t\n\r\x1b\x7f\x85\u2028\u2029\ufeff\ufff9\ufffe\ufdd0\ud800\U0010ffff"]
)
def test_what_steers_or_hides_can_not(character: str) -> None:
    text = f"a{character}b"
    with pytest.raises(ValueError, match=f"must not contain U\\+{ord(character):04X}"):
        check_line(text)
    assert as_line(text) == "ab"
    assert as_line(text, instead=" ") == "a b"


@pytest.mark.parametrize(
    "text",
    ["", " ", "\u200d", "\u200b\u200c", "\u3164", "\u2800", "\u0301\u0301", "\u3000", "\ufe0f", "\U000e0067"],
)
def test_what_is_not_seen_is_blank(text: str) -> None:
    assert is_blank(text)
    with pytest.raises(ValueError, match="visible"):
        check_line(text)


def test_no_code_point_that_has_a_meaning_of_its_own_is_refused() -> None:
    refused = {unicodedata.category(character) for character in EVERY if not fits_line(character)}
    assert refused == {"Cc", "Cf", "Cn", "Cs", "Zl", "Zp"}
    unassigned = [c for c in EVERY if unicodedata.category(c) == "Cn" and not fits_line(c)]
    assert all(ord(c) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(c) <= 0xFDEF or _is_reserved(c) for c in unassigned)


def _is_reserved(character: str) -> bool:
    """Unassigned, and by DerivedCoreProperties.txt default ignorable for ever."""
    return (
        character == "\u2065"
        or "\ufff0" <= character <= "\ufff8"
        or "\U000e0000" <= character <= "\U000e0fff"
    )


def test_composing_what_is_accepted_gives_what_is_accepted() -> None:
    for character in filter(fits_line, EVERY):
        assert fits_line(composed(character))
        assert composed(composed(character)) == composed(character)


def test_paragraphs_have_lines_and_a_direction_of_their_own() -> None:
    text = "one\ttab\r\ntwo\u2028three\x0bfour\u2067ש\u2069\u200f"
    assert check_paragraphs(text) == text


@pytest.mark.parametrize("character", ["\x00", "\x08", "\x1b", "\x7f", "\x9b", "\ud800", "\ufffe"])
def test_paragraphs_have_no_other_controls(character: str) -> None:
    with pytest.raises(ValueError, match="must not contain"):
        check_paragraphs(f"a{character}b")
