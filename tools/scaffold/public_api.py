"""The public interface of a domain, parsed from the text of `public.py` without an import of the program."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOMAINS = Path(__file__).parents[2] / "domains"


@dataclass(frozen=True, slots=True)
class PublicApi:
    """Protocols with their methods, events, values and types that other domains may use."""

    domain: str
    protocols: dict[str, list[str]]
    events: list[str]
    values: list[str]

    def __str__(self) -> str:
        """Return it in one line."""
        asked = [f"`{name}.{method}`" for name, methods in self.protocols.items() for method in methods]
        known = [f"`{name}`" for name in (*self.events, *self.values)]
        return f"`domains.{self.domain}.public` offers {', '.join(asked + known) or 'nothing yet'}."


def public_api_of(domain: str, folder: Path = DOMAINS) -> PublicApi:
    """Read a domain's public API, a file or a package; a domain without one offers nothing."""
    public_api = PublicApi(domain, {}, [], [])
    for node in _public(domain, folder):
        _enter(node, public_api)
    return public_api


@dataclass(frozen=True, slots=True)
class ReferencedEntity:
    """A resource that other domains may refer to: the Protocol that checks its existence, and its name."""

    protocol: str
    singular: str


def referenced_entity_of(domain: str, folder: Path = DOMAINS) -> ReferencedEntity | None:
    """Read it from the question `exists`, which takes the thing's id first: `invoice_id`."""
    for node in _public(domain, folder):
        if not (isinstance(node, ast.ClassDef) and "Protocol" in _bases(node)):
            continue
        for part in node.body:
            if isinstance(part, ast.AsyncFunctionDef) and part.name == "exists":
                return ReferencedEntity(node.name, part.args.args[1].arg.removesuffix("_id"))
    return None


def _public(domain: str, folder: Path) -> Iterator[ast.stmt]:
    place = folder / domain
    for path in [place / "public.py", *sorted((place / "public").rglob("*.py"))]:
        if path.exists():
            yield from ast.parse(path.read_text()).body


_EVENTS = {"Event", "OwnedEvent"}


def _bases(node: ast.ClassDef) -> set[str]:
    return {base.id for base in node.bases if isinstance(base, ast.Name)}


def _enter(node: ast.stmt, public_api: PublicApi) -> None:
    if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
        bases = _bases(node)
        if "Protocol" in bases:
            functions = [
                part for part in node.body if isinstance(part, ast.AsyncFunctionDef | ast.FunctionDef)
            ]
            public_api.protocols[node.name] = [part.name for part in functions]
        else:
            (public_api.events if bases & _EVENTS else public_api.values).append(node.name)
    elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
        public_api.values.append(node.name)
    elif isinstance(node, ast.Assign):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        public_api.values.extend(name for name in names if not name.startswith("_"))
