"""Unicode normalisation (UAX #15) in time that is linear in the length of any text.

`unicodedata.normalize` sorts each run of combining characters by insertion, so that a run of 50,000 takes seconds.
Long runs are sorted here first, which changes nothing in the result: their order is the canonical one.
"""

import re
import unicodedata
from functools import cache, partial
from typing import Literal

LONGEST_RUN = 30
"""Combining characters in a row that are left to `unicodedata` (as in the Stream-Safe Text Format of UAX #15)."""

_FEW = 256
"""Characters of a text that takes no time, whatever they are."""

_FIRST, _LAST = 0x300, 0x1FFFF
"""All combining characters are between these."""


Form = Literal["NFC", "NFKC"]
_DECOMPOSED: dict[Form, Literal["NFD", "NFKD"]] = {"NFC": "NFD", "NFKC": "NFKD"}


def normalised(form: Form, text: str) -> str:
    """Return text in a normal form, as `unicodedata.normalize` does."""
    if text.isascii():
        return text
    if len(text) > _FEW:
        text = _long_runs(form).sub(partial(_sorted, _DECOMPOSED[form]), text)
    return unicodedata.normalize(form, text)


def _sorted(form: Literal["NFD", "NFKD"], run: re.Match[str]) -> str:
    # Each character is decomposed by itself: together they would be sorted by insertion.
    decomposed = "".join([unicodedata.normalize(form, character) for character in run[0]])
    return "".join(sorted(decomposed, key=unicodedata.combining))


@cache
def _long_runs(form: Form) -> re.Pattern[str]:
    decomposed = _DECOMPOSED[form]
    combining = [
        character
        for character in map(chr, range(_FIRST, _LAST + 1))
        if unicodedata.combining(character)
        or (
            unicodedata.decomposition(character)
            and unicodedata.combining(unicodedata.normalize(decomposed, character)[0])
        )
    ]
    return re.compile(f"[{''.join(combining)}]{{{LONGEST_RUN + 1},}}")
