"""Normal forms of Unicode: equal to Python's, in time that does not depend on the text's content."""

import sys
import unicodedata
from itertools import groupby
from typing import Literal

import pytest

from shared import normal_forms
from shared.normal_forms import LONGEST_RUN, Form, normalised
from shared.text import composed_within, is_longer

TEXTS = {
    "alternating": "a" + "\u0315\u0300" * 25_000,
    "one": "a" + "\u0300" * 50_000,
    "of_several": "a" + "\u0344\u0315" * 10_000,
    "descending": "a" + "\u0345\u0315\u0300\u0316\u0327\u05b0\u3099\u0334" * 3_000,
    "half_width": "a" + "\uff9e\u0300\uff9f\u0315" * 10_000,
    "tibetan": "a" + "\u0f73\u0f71\u0f81\u0300\u0f75" * 5_000,
    "without_a_letter": "\u0315\u0300" * 10_000 + "e\u0301",
    "split_by_joiners": ("\u0315\u0300" * 100 + "\u034f") * 100,
    "accents": "e\u0301" * 10_000,
}


class Spy:
    """Counts the pairs of characters that `unicodedata.normalize` has to exchange."""

    def __init__(self) -> None:
        self.exchanges = 0

    def normalize(self, form: str, text: str) -> str:
        decomposed = "".join(unicodedata.normalize("NFKD" if "K" in form else "NFD", each) for each in text)
        classes = map(unicodedata.combining, decomposed)
        for is_mark, run in groupby(classes, key=bool):
            if is_mark:
                self.exchanges += exchanges_of(list(run))
        return unicodedata.normalize(form, text)

    def __getattr__(self, name: str) -> object:
        return getattr(unicodedata, name)


def exchanges_of(run: list[int]) -> int:
    """Return the exchanges of an insertion sort of classes from 1 to 254."""
    seen, exchanges = [0] * 256, 0
    for each in run:
        exchanges += sum(seen[each + 1 :]) if any(seen[each + 1 :]) else 0
        seen[each] += 1
    return exchanges


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_runs_of_combining_characters_take_linear_work(
    text: str, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy()
    monkeypatch.setattr(normal_forms, "unicodedata", spy)
    normalised(form, text)
    monkeypatch.undo()
    assert spy.exchanges <= len(text) * LONGEST_RUN
    shorter = text[:2_000] + text[-2_000:]  # short enough for Python's way
    assert normalised(form, shorter) == unicodedata.normalize(form, shorter)


@pytest.mark.parametrize(("form", "decomposed"), [("NFC", "NFD"), ("NFKC", "NFKD")])
def test_every_character_that_is_sorted_is_known(form: Form, decomposed: Literal["NFD", "NFKD"]) -> None:
    sorted_ones = {
        each
        for each in map(chr, range(sys.maxunicode + 1))
        if unicodedata.combining(unicodedata.normalize(decomposed, each)[0])
    }
    pattern = normal_forms._long_runs(form)
    assert {each for each in map(chr, range(sys.maxunicode + 1)) if pattern.match(each * 31)} == sorted_ones


def test_text_is_composed_for_its_limit_only_if_it_can_be_within() -> None:
    longest = "\u1f82" * 10  # four characters each, decomposed
    decomposed = unicodedata.normalize("NFD", longest)
    assert len(decomposed) == 40
    compose = composed_within(10).func
    assert compose(decomposed) == longest  # type: ignore[call-arg]
    assert compose(decomposed + "a") == decomposed + "a"  # type: ignore[call-arg]
    assert not is_longer(decomposed, 10)
    assert is_longer(decomposed + "a", 10)
    assert is_longer("a" * 11, 10)
