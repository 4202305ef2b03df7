"""The README and the pages in docs/ say what is: what they name is there."""

import re
from pathlib import Path

import pytest
from typer import Typer

from bootstrap.cli.jobs import jobs
from bootstrap.cli.main import app
from bootstrap.settings.environment import OF_COMMANDS, variables_of
from bootstrap.settings.model import Settings
from bootstrap.settings.secret_files import file_variables

PROJECT = Path(__file__).parents[2]
PAGES = sorted([PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").rglob("*.md")])

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())


def names_of(commands: Typer) -> set[str]:
    return {command.name or command.callback.__name__ for command in commands.registered_commands}


@every_page
def test_links_lead_to_something(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


@every_page
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


@every_page
def test_paths_that_are_named_are_there(page: Path) -> None:
    named = re.findall(
        r"`((?:bootstrap|domains|shared|tests|scripts|deploy|docs|requirements)/[\w./-]*)`", page.read_text()
    )
    own = {path for path in named if path.startswith("domains/notes")}
    assert [path for path in named if path not in own and not (PROJECT / path).exists()] == []
