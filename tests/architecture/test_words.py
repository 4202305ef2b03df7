"""Names and headings use terms that a reader would search for."""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

PROJECT = Path(__file__).parents[2]
PACKAGES = ("bootstrap", "domains", "shared", "tools")

PRIVATE = {
    "ailment": "check", "atlas": "map", "courtyard": "shared kernel", "exchange": "request", "face": "public API",
    "fleet": "domain selection", "floor": "layer", "foundation": "dependencies", "frame": "middleware",
    "garbage": "gc", "garbled": "protocol error", "gate": "guard", "hint": "wake-up", "house": "module",
    "intake": "upload stream", "journal": "log", "keeper": "eraser", "lane": "slot", "ledger": "quota",
    "lend": "acquire", "lent": "acquired", "moment": "timestamp", "offers": "exports", "promise": "reservation",
    "pulse": "liveness", "recipe": "spec", "resting": "idle", "ripe": "due", "ripen": "promote due",
    "room": "module", "roster": "registry", "seal": "encrypt", "settle": "reconcile", "sheet": "summary",
    "thing": "entity", "torn": "interrupted", "trail": "audit log", "turn": "fair share", "twin": "duplicate",
    "united": "request transaction", "visitor": "client info", "wall": "boundary",
}  # fmt: skip
"""Words that have named parts of this program in a sense of their own, and the standard term for each."""

PRONOUNS = dict.fromkeys(
    ("anybody", "everybody", "its", "nobody", "somebody", "they", "who", "whoever", "whom"), "what it is"
)
"""Words that name nothing. A heading may have the ordinary ones."""

IN_NAMES = PRIVATE | PRONOUNS
IN_HEADINGS = {
    word: instead for word, instead in IN_NAMES.items() if word not in {"its", "they", "thing", "turn", "who"}
}

ALLOWED = {
    "floor": ("tools/bench/", "the fastest program that does the same work; docs/performance.md explains it"),
    "frames": ("domains/files/gateway/rendering/", "the pictures of an animation"),
    "turn": ("domains/jobs/repository/", "the column `jobs.turn`, which databases have"),
    "turns": ("domains/jobs/repository/", "the same"),
}
"""Words that are standard in a part of the tree: where, and why."""


class Name(NamedTuple):
    place: str
    text: str
    forbidden: Mapping[str, str] = IN_NAMES

    @property
    def words(self) -> list[str]:
        return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", self.text)]

    def private_words(self) -> Iterator[str]:
        for word in self.words:
            instead = self.forbidden.get(word) or self.forbidden.get(word.removesuffix("s"))
            if instead and not self.place.startswith(ALLOWED.get(word, ("nowhere",))[0]):
                yield f"{self.place}: {self.text!r} has {word!r}: say {instead}"


def names_in(path: str, tree: ast.Module) -> Iterator[Name]:
    """Yield the names of modules, classes, functions, arguments, log events and background loops of a file."""
    yield Name(path, Path(path).stem)
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield Name(f"{path}:{node.lineno}", node.name)
            case ast.arg(arg=str(text)) | ast.keyword(arg=str(text)):
                yield Name(f"{path}:{node.lineno}", text, PRONOUNS)
            case ast.Call(func=func, args=[ast.Constant(value=str(text)), *_]) if is_log_or_loop(func):
                yield Name(f"{path}:{node.lineno}", text)


def is_log_or_loop(function: ast.expr) -> bool:
    match function:
        case ast.Attribute(attr="debug" | "info" | "warning" | "warn" | "error" | "exception" | "critical"):
            return True
        case ast.Name(id="BackgroundLoop"):
            return True
    return False


def headings_in(path: str, page: str) -> Iterator[Name]:
    page = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE):
        yield Name(path, re.sub(r"`[^`]*`", "", heading), IN_HEADINGS)


@cache
def names() -> list[Name]:
    found: list[Name] = []
    for package in PACKAGES:
        for path in sorted((PROJECT / package).rglob("*.py")):
            where = path.relative_to(PROJECT).as_posix()
            # Migrations keep their names: databases remember which of them they have had.
            if "/migrations/versions/" not in where and "/templates/" not in where:
                found += names_in(where, ast.parse(path.read_text()))
    for path in sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")]):
        found += headings_in(path.relative_to(PROJECT).as_posix(), path.read_text())
    return found


def test_no_name_and_no_heading_is_a_private_word() -> None:
    assert [found for name in names() for found in name.private_words()] == []


@pytest.mark.parametrize("word", ALLOWED)
def test_each_exception_is_used(word: str) -> None:
    where, _reason = ALLOWED[word]
    assert any(word in name.words for name in names() if name.place.startswith(where))


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("class LedgerRepository: ...", "ledger"),
        ("def open_lane(): ...", "lane"),
        ("async def settle(): ...", "settle"),
        ("def find(its_id): ...", "its"),
        ("def nobody(): ...", "nobody"),
        ('logger.info("job_run", its_kind=kind)', "its"),
        ('logger.warning("hints_lost", number=1)', "hints"),
        ('LOOP = BackgroundLoop("relay.pulse")', "pulse"),
    ],
)
def test_a_private_word_in_code_would_be_found(source: str, word: str) -> None:
    (found,) = [
        each for name in names_in("shared/new.py", ast.parse(source)) for each in name.private_words()
    ]
    assert repr(word) in found


@pytest.mark.parametrize("heading", ["## The walls", "### Who may import whom", "# Fleets"])
def test_a_private_word_in_a_heading_would_be_found(heading: str) -> None:
    assert any(list(name.private_words()) for name in headings_in("docs/new.md", f"Text.\n\n{heading}\n"))


@pytest.mark.parametrize("page", ["```sh\n# whoever runs it\n```\n", "## Run `walls`\n", "## Who you are\n"])
def test_code_and_ordinary_words_in_a_page_are_none(page: str) -> None:
    assert not [found for name in headings_in("docs/new.md", page) for found in name.private_words()]
