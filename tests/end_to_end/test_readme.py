"""The README and the pages in docs/ say what is: the first session runs as printed, what they name is there."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer import Typer

from bootstrap.cli import app
from bootstrap.operators import jobs
from bootstrap.settings import Settings
from bootstrap.variables import OF_COMMANDS

PROJECT = Path(__file__).parents[2]
PAGES = sorted([PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").rglob("*.md")])

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())


def first_session() -> str:
    """Return the lines that the README asks its reader to paste into bash."""
    section = (PROJECT / "README.md").read_text().split("\n## A first session\n")[1].split("\n## ")[0]
    return "".join(re.findall(r"```bash\n(.*?)```", section, re.DOTALL))


def test_the_first_session_works_as_printed(system, servers) -> None:
    finished = subprocess.run(
        ["bash", "-euo", "pipefail", "-s"],
        input=first_session(),
        cwd=PROJECT,
        env={**os.environ, "TULOU_URL": system.url, "TULOU_DATA_DIR": str(servers.folder)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert '"email_verified":true' in finished.stdout
    assert finished.stdout.count('"status":"succeeded"') == 2
    assert finished.stdout.splitlines()[-1] == "manual.pdf"
    thumbnail = Path(re.findall(r"bytes in (\S+)$", finished.stdout, re.MULTILINE)[0])
    assert thumbnail.read_bytes()[8:12] == b"WEBP"
    shutil.rmtree(thumbnail.parent)


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
    assert set(re.findall(r"(?:`|bin/|^ {4})tulou ([a-z-]+)", text, re.MULTILINE)) <= commands
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
