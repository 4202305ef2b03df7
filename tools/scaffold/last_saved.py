"""Runs the tests of the last saved file; `make watch` calls it after each save."""

import os
import sys
from pathlib import Path

from tools.scaffold.changes import PROJECT

FOLDERS = ("bootstrap", "domains", "shared", "tools", "tests")
KINDS = {".py", ".html", ".txt", ".j2"}


def last_saved(root: Path = PROJECT) -> Path:
    """Return the source file that was written last, relative to the checkout."""
    sources = [path for folder in FOLDERS for path in (root / folder).rglob("*") if path.suffix in KINDS]
    return max(sources, key=lambda path: path.stat().st_mtime).relative_to(root)


def suite_of(saved: Path, root: Path = PROJECT) -> list[str]:
    """Return what to run for a file: its domain's tests, or its own, or those of its package and of the boundaries."""
    place, *rest = saved.parts
    if place == "tests" and saved.name.startswith("test_"):
        return [saved.as_posix()]
    if place in {"domains", "tests"} and "domains" in saved.parts[:2]:
        domain = rest[1] if place == "tests" else rest[0]
        found = [f"tests/domains/{domain}"]
    else:
        found = [f"tests/{rest[0]}" if place == "tests" else f"tests/{place}"]
    existing = [path for path in found if (root / path).is_dir()]
    return [*existing, "tests/architecture/test_rules.py"]


if __name__ == "__main__":
    saved = last_saved()
    sys.stdout.write(f"{saved} was saved.\n")
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not long", *suite_of(saved), *sys.argv[1:]]
    sys.stdout.flush()
    os.chdir(PROJECT)
    # Replaces this process, so that the watcher stops running tests completely when the next file is saved.
    os.execv(command[0], command)  # noqa: S606  # own tests
