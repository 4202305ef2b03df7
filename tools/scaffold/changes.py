"""Changes to the checkout, applied atomically."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

PROJECT = Path(__file__).parents[2]


class StepFailed(Exception):
    """A program that checks or completes the written files failed; the text is its output."""


class Changes:
    """Writes, and puts everything back when the block ends with an error or is interrupted."""

    def __init__(self, root: Path = PROJECT) -> None:
        self.root = root
        self.made: list[Path] = []
        self._before: dict[Path, bytes | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._restore()

    def write(self, path: str, text: str) -> None:
        """Write a file."""
        place = self.root / path
        self.note(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def create(self, path: str, text: str) -> None:
        """Write a file that must be new.

        Raises:
            StepFailed: it exists already.
        """
        if (self.root / path).exists():
            raise StepFailed(f"{path} exists and is not overwritten. Choose another name.")
        self.write(path, text)

    def remove(self, path: str) -> None:
        """Remove a file or a folder, which git may have or not."""
        place = self.root / path
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.is_file() and "__pycache__" not in file.parts:
                self.note(file)
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()

    def changed(self) -> list[Path]:
        """Return the files that are not as they were before, those that are gone too."""
        return [place for place, content in self._before.items() if _content(place) != content]

    def note(self, place: Path) -> None:
        """Save the content of a file that another program is about to change."""
        if place not in self._before:
            self._before[place] = _content(place)
            self.made.append(place)

    def run(self, *command: str) -> str:
        """Run a program of the virtual environment in the checkout; return its output."""
        program = Path(sys.executable).parent / command[0]
        finished = subprocess.run(  # noqa: S603  # own programs, with checked names
            [program, *command[1:]], cwd=self.root, capture_output=True, text=True, check=False
        )
        if finished.returncode:
            raise StepFailed(f"{' '.join(command)}:\n{finished.stdout}{finished.stderr}".strip())
        return finished.stdout

    def tidy(self) -> None:
        """Sort imports, remove unused ones, format, and check the written files."""
        python = [str(place) for place in self.made if place.suffix == ".py" and place.exists()]
        self.run("ruff", "check", "--quiet", "--fix-only", *python)
        self.run("ruff", "format", *python)
        self.run("ruff", "check", "--output-format=concise", *python)

    def migrate(self, what: Literal["create", "drop"], domain: str) -> None:
        """Write a migration in an interpreter that sees the new models; after `create` also docs/map.md."""
        self.note(self.root / "docs/map.md")
        place = Path(self.run("python", "-m", "tools.scaffold.migration", what, domain).splitlines()[-1])
        self._before[place] = None
        self.made.append(place)

    def write_domain_map(self) -> None:
        """Draw docs/map.md anew."""
        self.note(self.root / "docs/map.md")
        self.run("python", "-m", "bootstrap.cli.main", "domains", "--write")

    def _restore(self) -> None:
        for place, content in reversed(self._before.items()):
            if content is not None:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
                continue
            place.unlink(missing_ok=True)
            folder = place.parent
            while folder != self.root and folder.is_dir() and not _has_files(folder):
                shutil.rmtree(folder)
                folder = folder.parent


def _content(place: Path) -> bytes | None:
    return place.read_bytes() if place.exists() else None


def _has_files(folder: Path) -> bool:
    return any(path.is_file() and "__pycache__" not in path.parts for path in folder.rglob("*"))
