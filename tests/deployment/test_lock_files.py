"""The lock files are complete and installed exactly, so later releases change nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
INSTALLING = ("Dockerfile", "scripts/install.py", "README.md", "docs/deploying.md", "tests/contract/tools.py")


@pytest.mark.parametrize("name", INSTALLING)
def test_nothing_is_looked_up_beyond_the_lock_file(name: str) -> None:
    """pip 23.2 takes the newest release for `coverage[toml]`, whatever the file pins, and then finds it unpinned."""
    lines = [line for line in (PROJECT / name).read_text().splitlines() if "--require-hashes" in line]
    assert lines
    assert [line for line in lines if "--no-deps" not in line] == []


def test_what_is_installed_needs_nothing_more() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_no_lock_file_names_a_host() -> None:
    for lock in (PROJECT / "requirements").glob("*.txt"):
        assert not re.search(r"https?://", lock.read_text()), lock.name
