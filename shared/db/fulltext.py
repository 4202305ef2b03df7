"""Full text in every script: from text to PostgreSQL's search vectors, and from what people type to queries of them.

PostgreSQL's parsers take a run of Chinese, Japanese or Thai for one word, and its folding depends on the locale of the
database. So words are made here, for texts and queries alike:

- text is folded: NFKC and case folding, so `Straße` is `strasse`; an i is an i with a dot and without, large and small;
  digits of all scripts are ASCII; joiners, variation selectors, tatweel, and the vowel marks of Arabic and Hebrew are
  left out,
- a word is what stands between spaces and punctuation,
- scripts that are written without spaces, and Korean with its endings, become pairs of characters: `数据库` is `数据`,
  `据库`, and `库`, so that any part of a run is found. A line break inside such a run doesn't end it.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from shared.normal_forms import normalised

_LONGEST = 50
"""Characters of a word that count: PostgreSQL takes up to 2,046 octets."""
_PIECE, _OVERLAP = 8_000, 300
"""Characters of a piece, and those that it shares with the one before, so that a phrase across them is found."""
_SMALL_PIECE, _SMALL_OVERLAP = 50, 200
"""The same where one word is repeated without an end. A character is at most one occurrence of a word."""
_POSITIONS, _POSITIONS_OF_WORD = 16_383, 255
"""What PostgreSQL keeps of a vector: it drops the further positions of a word, and does not count beyond the last."""

_UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f"  # Thai to Balinese
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303b\u3040-\u30ff\u3100-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua960-\ua9ff\uaa60-\uaa7f\uac00-\ud7ff\uf900-\ufaff"
    "\U00016fe0-\U00018cff\U0001aff0-\U0001b2ff\U00020000-\U0003ffff"
)
_RUNS = re.compile(f"([{_UNSPACED}]+)|[^ {_UNSPACED}]+")
_BROKEN_RUN = re.compile(f"(?<=[{_UNSPACED}])[ \t]*\r?\n[ \t]*(?=[{_UNSPACED}])")
_GAP = re.compile("[ \n]")
_CHUNK = re.compile(r'(?P<minus>-*)(?:"(?P<phrase>[^"]*)"?|(?P<words>[^\s"]+))')


@dataclass(frozen=True, slots=True)
class Word:
    """A word where it stands.

    `is_end`: the last character of a run of several. `is_alone`: a run of one; looked for, it may begin a longer one.
    """

    text: str
    position: int
    is_end: bool = False
    is_alone: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text; all bodies together are the text. `vector` is its `tsvector`."""

    body: str
    vector: str


@dataclass(frozen=True, slots=True)
class Term:
    """Consecutive words that a text must contain, or must not contain. `plain` is the text as typed."""

    words: Sequence[Word]
    plain: str
    is_excluded: bool = False

    @property
    def query(self) -> str:
        """The `tsquery`."""
        parts = []
        for before, word in zip((None, *self.words), self.words, strict=False):
            if before is not None:
                parts.append(f"<{word.position - before.position}>")
            parts.append(f"'{word.text}'{':*' if word.is_alone else ''}")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Search:
    """A search: at least one alternative must match with all of its terms."""

    alternatives: Sequence[Sequence[Term]] = field(default_factory=list)

    @property
    def terms(self) -> int:
        """How many terms there are."""
        return sum(map(len, self.alternatives))


class _Folding(dict[int, int | str | None]):
    """What becomes of each code point; each is looked at once."""

    def __missing__(self, point: int) -> int | str | None:
        self[point] = self._folded(chr(point))
        return self[point]

    @staticmethod
    def _folded(character: str) -> int | str | None:
        category = unicodedata.category(character)
        if category == "Cf" or character in _LEFT_OUT or _is_vowel_mark(character, category):
            return None
        if category == "Nd":
            return str(unicodedata.decimal(character))
        if category == "So" or (category == "Cn" and ord(character) >= _PICTURES):
            return f" {character} "  # an emoji is a word, also one that is newer than this Python
        is_between = category[0] in "ZPSC" and category not in {"Cn", "Co"}
        return " " if is_between else ord(character)


def _is_vowel_mark(character: str, category: str) -> bool:
    return category == "Mn" and any(first <= character <= last for first, last in _VOWEL_MARKS)


_VOWEL_MARKS = (("\u0591", "\u05c7"), ("\u0610", "\u061a"), ("\u064b", "\u0670"))
_LEFT_OUT = {"\u0640", "\u034f", "\u115f", "\u1160", "\u3164", "\uffa0", *map(chr, range(0xFE00, 0xFE10))}
_PICTURES = 0x1F000
_FOLDING = _Folding({0x131: "i"})  # the dotless one


def folded(text: str) -> str:
    """Return text as it is compared, with spaces where words end."""
    joined = _BROKEN_RUN.sub("", text)
    plain = normalised("NFKC", normalised("NFKC", joined).casefold())
    return plain.translate(_FOLDING).replace("i\u0307", "i")


def words_of(text: str) -> Iterator[Word]:
    """Yield the words of a text: of runs without spaces each pair of characters, and the last one alone."""
    position = 0
    for run in _RUNS.finditer(folded(text)):
        if run[1] is None:
            position += 1
            yield Word(run[0][:_LONGEST], position)
            continue
        last = len(run[1]) - 1
        for start in range(last + 1):
            position += 1
            at_end = start == last
            yield Word(run[1][start : start + 2], position, is_end=at_end and last > 0, is_alone=last == 0)


def vector_of(text: str) -> str:
    """Return the `tsvector` of a text that is short enough for PostgreSQL to keep all positions, as a name is."""
    return _vector(_positions_in(text))


def pieces_of(text: str) -> Iterator[Piece]:
    """Yield a text in pieces whose vectors PostgreSQL keeps with all positions; none of an empty text."""
    start, size, overlap = 0, _PIECE, _OVERLAP
    while start < len(text):
        end = _gap_before(text, start + size, at_least=start + size - min(_OVERLAP, size // 2))
        positions = _positions_in(_shared(text, start, overlap) + text[start:end])
        if _is_kept(positions) or overlap == _SMALL_OVERLAP:
            yield Piece(text[start:end], _vector(positions))
            start = end
            if _is_kept(positions, share=2):
                size, overlap = min(2 * size, _PIECE), _OVERLAP
        elif size == _SMALL_PIECE:
            overlap = _SMALL_OVERLAP
        else:
            size = max(size // 2, _SMALL_PIECE)


def _positions_in(text: str) -> dict[str, list[int]]:
    positions: dict[str, list[int]] = {}
    for word in words_of(text):
        positions.setdefault(word.text, []).append(word.position)
    return positions


def _vector(positions: dict[str, list[int]]) -> str:
    return " ".join(f"'{word}':{','.join(map(str, where))}" for word, where in positions.items())


def _is_kept(positions: dict[str, list[int]], *, share: int = 1) -> bool:
    """Return whether PostgreSQL would keep all positions of a vector of `share` times as many."""
    most, last = _POSITIONS_OF_WORD // share, _POSITIONS // share
    return all(len(where) <= most and where[-1] < last for where in positions.values())


def _shared(text: str, start: int, overlap: int) -> str:
    """Return what stands before `start`, without the word that may be cut at the beginning."""
    before = text[max(0, start - overlap) : start]
    gap = _GAP.search(before)
    return before if gap is None else before[gap.end() :]


def _gap_before(text: str, end: int, *, at_least: int) -> int:
    """Return where a piece ends: behind a space or the end of a line, so that no word is cut, or just there."""
    if end >= len(text):
        return len(text)
    return max(text.rfind(gap, at_least, end) for gap in " \n") + 1 or end


def search_of(text: str) -> Search:
    """Parse a search: words, `"exact phrases"`, `or` between alternatives, `-` before what must not be there.

    Any text is a valid search: an unclosed quote extends to the end; punctuation alone matches nothing.
    """
    alternatives: list[list[Term]] = [[]]
    for chunk in _CHUNK.finditer(text):
        plain = chunk["words"] if chunk["phrase"] is None else chunk["phrase"]
        if plain.lower() == "or" and chunk["phrase"] is None and not chunk["minus"]:
            alternatives.append([])
        elif words := _looked_for(plain):
            alternatives[-1].append(Term(words, plain, is_excluded=bool(chunk["minus"])))
    return Search([terms for terms in alternatives if terms])


def _looked_for(text: str) -> list[Word]:
    """Return the words of a term, without the ends of runs: in the text, the run may go on."""
    return [word for word in words_of(text) if not word.is_end]
