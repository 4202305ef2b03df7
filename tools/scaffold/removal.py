"""`tulou remove domain`."""

import re
import subprocess
from pathlib import Path

from bootstrap.container import TulouContainer, domains_of
from bootstrap.settings.model import Settings
from tools.scaffold import container_edits
from tools.scaffold.changes import PROJECT, Changes
from tools.scaffold.names import NameRefused
from tools.scaffold.new_domain import CONTAINER_FILE

MOST_NAMED = 5
_NOT_LOOKED_AT = {"migrations", "__pycache__"}


def files_to_remove(name: str, root: Path = PROJECT) -> list[Path]:
    """Return the files that `remove_domain` deletes.

    Raises:
        NameRefused: it isn't there, or something else needs it.
    """
    _known(name)
    users = _mentions(name, root)
    if users:
        raise NameRefused(f"{name} can't go while others need it: {', '.join(users)}.")
    found = [path for folder in _folders(name, root) for path in sorted(folder.rglob("*"))]
    return [path for path in found if path.is_file() and "__pycache__" not in path.parts]


def remove_domain(name: str, *, force: bool = False, root: Path = PROJECT) -> list[Path]:
    """Remove a domain and write the migration that drops its schema; return what was changed.

    Raises:
        NameRefused: it isn't there, something else needs it, or git doesn't have all of it (unless `force`).
        StepFailed: what is left doesn't pass its checks; everything is as before.
    """
    files_to_remove(name, root)
    if not force:
        _require_committed(name, root)
    with Changes(root) as changes:
        changes.migrate("drop", name)
        for folder in _folders(name, root):
            changes.remove(folder.relative_to(root).as_posix())
        changes.write(
            CONTAINER_FILE, container_edits.without_domain((root / CONTAINER_FILE).read_text(), name=name)
        )
        changes.tidy()
        changes.write_domain_map()
        return changes.changed()


def _known(name: str) -> set[str]:
    container = TulouContainer(settings=Settings())
    domains = domains_of(container)
    if name not in domains:
        raise NameRefused(f"There is no domain {name}; there are {', '.join(domains)}.")
    return {*domains, *container.providers}


def _folders(name: str, root: Path) -> list[Path]:
    folders = [root / "domains" / name, root / "tests/domains" / name]
    return [folder for folder in folders if folder.exists()]


def _require_committed(name: str, root: Path) -> None:
    uncommitted = _uncommitted(_folders(name, root), root)
    if uncommitted is None:
        raise NameRefused(
            f"This is not a git checkout, so nothing could bring {name} back. To remove it all the same, say --force."
        )
    if uncommitted:
        more = len(uncommitted) - MOST_NAMED
        named = ", ".join(uncommitted[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        raise NameRefused(
            f"Not committed, and so lost with {name}: {named}. Commit first; to lose them, say --force."
        )


def _uncommitted(folders: list[Path], root: Path) -> list[str] | None:
    """Return the files whose content no commit has, also those that git ignores; None outside a checkout."""
    command = [
        "git",
        "status",
        "--porcelain",
        "-z",
        "--no-renames",
        "--untracked-files=all",
        "--ignored",
        "--",
    ]
    try:
        asked = subprocess.run(  # noqa: S603  # own folders
            [*command, *folders], cwd=root, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    if asked.returncode:
        return None
    # Two letters say what a file is in the index and in the folder, then comes its path.
    entries = [entry for entry in asked.stdout.split("\0") if entry and "D" not in entry[:2]]
    return [path for entry in entries if "__pycache__" not in (path := entry[3:])]


def _sources(folder: Path) -> list[Path]:
    kinds = {".py", ".html", ".txt"}
    found = [path for path in sorted(folder.rglob("*")) if path.suffix in kinds]
    return [path for path in found if not _NOT_LOOKED_AT & set(path.parts)]


def _mentions(name: str, root: Path) -> list[str]:
    """Return the files outside a domain that name it, but for its own entry in the map."""
    named = re.compile(rf"\bdomains\.{name}\b|\b(container|composition)\.{name}\b|\bdomains\.{name}\.")
    found = []
    for package in ("bootstrap", "domains", "shared", "tools", "tests"):
        for path in _sources(root / package):
            place = path.relative_to(root).as_posix()
            own = place.startswith((f"domains/{name}/", f"tests/domains/{name}/"))
            text = path.read_text()
            if place == CONTAINER_FILE:
                text = container_edits.without_domain(text, name=name)
                own = not re.search(rf"\b{name}\.\w", text)
                found += [] if own else [place]
            elif not own and named.search(text):
                found.append(place)
    return found
