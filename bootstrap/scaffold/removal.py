"""`tulou remove domain` and `tulou rename domain`."""

import re
from pathlib import Path

from bootstrap.container import TulouContainer, domains_of
from bootstrap.scaffold import map_edits
from bootstrap.scaffold.changes import PROJECT, Changes
from bootstrap.scaffold.names import DomainName, NameRefused, domain_name, singular_of
from bootstrap.scaffold.new_domain import MAP
from bootstrap.settings import Settings

_NOT_LOOKED_AT = {"migrations", "__pycache__"}


def remove_domain(name: str, root: Path = PROJECT) -> list[Path]:
    """Remove a domain and write the migration that drops its schema; return what was changed.

    Raises:
        NameRefused: it isn't there, or something else needs it.
        StepFailed: what is left doesn't pass its checks; everything is as before.
    """
    _known(name)
    users = _mentions(name, root)
    if users:
        raise NameRefused(f"{name} can't go while others need it: {', '.join(users)}.")
    with Changes(root) as changes:
        changes.migrate("drop", name)
        changes.remove(f"domains/{name}")
        if (root / f"tests/domains/{name}").exists():
            changes.remove(f"tests/domains/{name}")
        changes.write(MAP, map_edits.without_domain((root / MAP).read_text(), name=name))
        changes.tidy()
        changes.redraw()
        return changes.made


def rename_domain(
    name: str, to: str, *, singular: str | None = None, to_singular: str | None = None, root: Path = PROJECT
) -> list[Path]:
    """Give a domain another name, and write the migration that renames what the database has; as `remove_domain`."""
    known = _known(name)
    core = [place for place in _mentions(name, root) if place.startswith("bootstrap/") and place != MAP]
    if core:
        raise NameRefused(f"{name} can't be renamed: {', '.join(core)} know it by name.")
    old = DomainName(name, singular or singular_of(name))
    new = domain_name(to, to_singular, known=known)
    folders = [root / "domains", root / "tests/domains"]
    friends = {_domain_of(root / place) for place in _mentions(name, root)}
    with Changes(root) as changes:
        for path in [*(path for folder in folders for path in _sources(folder)), root / MAP]:
            renamed = _renamed(path.relative_to(root).as_posix(), old, new)
            text = path.read_text()
            is_own = f"domains/{name}/" in path.as_posix()
            knows = path == root / MAP or _domain_of(path) in friends
            changed = (
                _renamed(text, old, new) if is_own else _renamed_outside(text, old, new) if knows else text
            )
            if (renamed, changed) != (path.relative_to(root).as_posix(), text):
                changes.note(path)
                path.unlink()
                changes.write(renamed, changed)
        for left in (f"domains/{name}", f"tests/domains/{name}"):
            if (root / left).exists():
                changes.remove(left)
        changes.tidy()
        changes.migrate("rename", name, to)
        changes.tidy()
        changes.redraw()
        return changes.made


def _known(name: str) -> set[str]:
    container = TulouContainer(settings=Settings(), database_url="", pool_size=1, worker_id="")
    domains = domains_of(container)
    if name not in domains:
        raise NameRefused(f"There is no domain {name}; there are {', '.join(domains)}.")
    return {*domains, *container.providers}


def _sources(folder: Path) -> list[Path]:
    kinds = {".py", ".html", ".txt"}
    found = [path for path in sorted(folder.rglob("*")) if path.suffix in kinds]
    return [path for path in found if not _NOT_LOOKED_AT & set(path.parts)]


def _domain_of(path: Path) -> str:
    """Return the domain that a file belongs to, be it its code or its test."""
    parts = path.parts
    return parts[len(parts) - parts[::-1].index("domains")] if "domains" in parts[:-1] else ""


def _mentions(name: str, root: Path) -> list[str]:
    """Return the files outside a domain that name it, but for its own entry in the map."""
    named = re.compile(rf"\bdomains\.{name}\b|\b(container|composition)\.{name}\b|\bdomains\.{name}\.")
    found = []
    for package in ("bootstrap", "domains", "shared", "tests"):
        for path in _sources(root / package):
            place = path.relative_to(root).as_posix()
            own = place.startswith((f"domains/{name}/", f"tests/domains/{name}/"))
            text = path.read_text()
            if place == MAP:
                text = map_edits.without_domain(text, name=name)
                own = not re.search(rf"\b{name}\.\w", text)
                found += [] if own else [place]
            elif not own and named.search(text):
                found.append(place)
    return found


def _renamed(text: str, old: DomainName, new: DomainName) -> str:
    pairs = [
        (old.path, new.path),
        (old.a, new.a),
        (old.a.capitalize(), new.a.capitalize()),
        (old.plural_cls, new.plural_cls),
        (old.cls, new.cls),
        (old.name, new.name),
        (old.singular, new.singular),
        (old.plural_words, new.plural_words),
        (old.words, new.words),
        (old.plural_words.capitalize(), new.plural_words.capitalize()),
    ]
    for before, after in pairs:
        # Also inside of a name of a class: `ListedInvoice`.
        start = r"(?<![A-Z])" if before[0].isupper() else r"(?<![A-Za-z])"
        text = re.sub(rf"{start}{re.escape(before)}(?![a-z])", after, text)
    return text


def _renamed_outside(text: str, old: DomainName, new: DomainName) -> str:
    """Change what other domains and the map say of it: its modules, its entry, its Protocol and events."""
    for before, after in ((old.plural_cls, new.plural_cls), (old.cls, new.cls)):
        text = re.sub(rf"\b{before}(?=\b|Created|Container)", after, text)
    text = re.sub(rf"\bcreate_{old.singular}\b", f"create_{new.singular}", text)
    return re.sub(rf"\b{old.name}\b", new.name, text)
