"""Normalisation of the text of documents."""

import re

from shared.normal_forms import normalised

# pdfium marks a word that was hyphenated at the end of a line with U+FFFE instead of its hyphen and the line's end;
# a soft hyphen (U+00AD) is one that could have been. Neither is part of the word.
_HYPHENATION = "\ufffe\u00ad"
# Control characters but tab and line feed; lone surrogates; noncharacters (Unicode 16.0, section 23.7).
_NOT_TEXT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
    + "]"
)


def readable(text: str) -> str:
    """Return text in NFC with line feeds at the ends of lines, whole words and no control characters."""
    joined = text.translate(dict.fromkeys(map(ord, _HYPHENATION)))
    lines = joined.replace("\r\n", "\n").replace("\r", "\n")
    return normalised("NFC", _NOT_TEXT.sub("", lines))
