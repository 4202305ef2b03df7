"""The README and the pages in docs/ name things that exist, and their links work."""

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from typer import Typer

from bootstrap.cli.main import app
from bootstrap.settings.environment import OF_COMMANDS, variables_of
from bootstrap.settings.model import Settings
from bootstrap.settings.secret_files import file_variables
from domains.emails.public import OutgoingMail
from domains.jobs.commands.app import jobs
from shared.db.query import query
from shared.jobs import JobOptions, JobType

PROJECT = Path(__file__).parents[2]
PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md"), PROJECT / "docs" / "llms.txt"])
IMAGES = sorted((PROJECT / "docs" / "images").iterdir())
MOST_BYTES_OF_IMAGES = 150_000
CALLED: dict[str, Any] = {each.__name__: each for each in (JobOptions, JobType, OutgoingMail, query)}
"""What examples call by name: its parameters are compared."""
FUNCTION = re.compile(r"`((?:bootstrap|domains|shared|tools|tests)/[\w./]+\.py):([\w.]+)`")
"""A function, method or class: `file.py:name` or `file.py:Class.method`."""
LINK = re.compile(r"\]\(([^)#:\s]*)(?:#([^)\s]*))?\)")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
PAST = re.compile(r"\A# Changelog|^Superseded by ", re.MULTILINE)
"""What marks a page that may name what is gone."""
every_page_of_the_present = pytest.mark.parametrize(
    "page", [page for page in PAGES if not PAST.search(page.read_text())], ids=lambda page: page.name
)


def names_of(commands: Typer) -> set[str]:
    return {command.name or command.callback.__name__ for command in commands.registered_commands}


def definitions_in(file: Path) -> set[str]:
    """Return the functions, classes and methods of a file."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found = [each for each in ast.parse(file.read_text()).body if isinstance(each, kinds)]
    methods = [f"{each.name}.{part.name}" for each in found for part in each.body if isinstance(part, kinds)]
    return {each.name for each in found} | set(methods)


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(
        r"^#+ (.+)$",
        re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL),
        re.MULTILINE,
    )
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", each)).lower() for each in headings]
    return {each.strip().replace(" ", "-") for each in plain}


@every_page
def test_links_lead_to_something(page: Path) -> None:
    missing = [
        f"{target}#{anchor}"
        for target, anchor in LINK.findall(page.read_text())
        if not (found := (page.parent / target) if target else page).exists()
        or (anchor and found.suffix == ".md" and anchor not in anchors_of(found))
    ]
    assert missing == []


@every_page_of_the_present
def test_commands_and_settings_that_are_named_are_there(page: Path) -> None:
    text = page.read_text()
    commands = names_of(app) | {group.name for group in app.registered_groups}
    targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    settings = {f"TULOU_{name.upper()}" for name in Settings.model_fields}
    settings |= {each for name, field in Settings.model_fields.items() for each in variables_of(name, field)}
    settings |= set(file_variables(Settings.model_fields))
    assert set(re.findall(r"(?:`|bin/|^ {4})tulou ([a-z][a-z-]*)", text, re.MULTILINE)) <= commands
    assert set(re.findall(r"tulou jobs ([a-z-]+)", text)) <= names_of(jobs)
    assert set(re.findall(r"(?:`|^ {4})make ([a-z-]+)", text, re.MULTILINE)) <= set(targets)
    named = set(re.findall(r"\bTULOU_[A-Z0-9_]*[A-Z0-9]\b", text))
    assert named <= settings | OF_COMMANDS


@every_page_of_the_present
def test_paths_that_are_named_are_there(page: Path) -> None:
    named = re.findall(
        r"`((?:bootstrap|domains|shared|tools|tests|scripts|deploy|docs|requirements)/[\w./-]*)`",
        page.read_text(),
    )
    own = {path for path in named if path.startswith("domains/notes")}
    assert [path for path in named if path not in own and not (PROJECT / path).exists()] == []


def test_the_architecture_names_the_file_of_each_step() -> None:
    page = (PROJECT / "docs" / "architecture.md").read_text()
    paths = re.findall(r"^## Path of an? (\w+)\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL)
    assert [subject for subject, _ in paths] == ["upload", "job", "mail", "token"]
    for subject, steps in paths:
        assert len(FUNCTION.findall(steps)) >= 5, subject


@every_page_of_the_present
def test_functions_that_are_named_are_there(page: Path) -> None:
    named = FUNCTION.findall(page.read_text())
    assert [f"{path}:{name}" for path, name in named if name not in definitions_in(PROJECT / path)] == []


def test_each_page_of_the_documentation_is_in_the_index_for_language_models() -> None:
    index = (PROJECT / "docs" / "llms.txt").read_text()
    pages = {page.name for page in (PROJECT / "docs").glob("*.md")}
    assert {name for name in pages if f"]({name})" not in index} == set()


def row_of_decision(page: Path) -> str:
    title = page.read_text().splitlines()[0].partition(". ")[2]
    superseded = re.search(r"^Superseded by (\[\d+\]\(.*?\))", page.read_text(), re.MULTILINE)
    return f"({page.name}) | {title} | " + (f"superseded by {superseded[1]} |" if superseded else "")


def test_each_decision_is_in_the_index() -> None:
    folder = PROJECT / "docs" / "adr"
    index = (folder / "README.md").read_text()
    lacking = {page.name for page in folder.glob("0*.md") if row_of_decision(page) not in index}
    assert lacking == set(), "write them into docs/adr/README.md, with title and status"


def test_the_readme_is_short_and_its_images_are_small() -> None:
    assert len((PROJECT / "README.md").read_text().splitlines()) <= 120
    assert sum(image.stat().st_size for image in IMAGES) < MOST_BYTES_OF_IMAGES
    shown = "".join(page.read_text() for page in PAGES)
    assert [image.name for image in IMAGES if image.name not in shown] == []


@every_page
def test_python_of_a_page_is_valid_and_calls_what_is_there(page: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        tree = compile(block, page.name, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in CALLED:
                known = inspect.signature(CALLED[call.func.id]).parameters
                assert {keyword.arg for keyword in call.keywords} <= set(known), ast.unparse(call)
