"""A copy of this checkout, in which commands may write code."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
VENV = Path(sys.executable).parents[1]


class Checkout:
    """A copy with git, and with the virtual environment of the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"}

    def tulou(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command there."""
        return self.run(sys.executable, "-m", "bootstrap.cli.main", *arguments)

    def run(self, *command: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program there."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )

    def changes(self) -> list[str]:
        """Return what git sees, one line for each file."""
        return self.run("git", "status", "--porcelain", "--untracked-files=all").stdout.splitlines()

    def commit(self) -> None:
        """Take everything over."""
        name = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
        self.run("git", "add", "--all")
        self.run("git", *name, "commit", "--quiet", "--message=x")


@pytest.fixture(scope="module")
def new_checkout(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Checkout]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = [name for name in listed.stdout.splitlines() if (PROJECT / name).is_file()]

    def make() -> Checkout:
        folder = tmp_path_factory.mktemp("checkout")
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)
        (folder / ".venv").symlink_to(VENV)
        if (PROJECT / ".mypy_cache").exists():
            shutil.copytree(PROJECT / ".mypy_cache", folder / ".mypy_cache")
        checkout = Checkout(folder)
        checkout.run("git", "init", "--quiet")
        (folder / ".git/info/exclude").write_text(".venv\n")
        checkout.commit()
        return checkout

    return make


@pytest.fixture(scope="module")
def checkout(new_checkout: Callable[[], Checkout]) -> Checkout:
    return new_checkout()
