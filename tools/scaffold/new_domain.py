"""`tulou new domain`: from a plan to a domain that works."""

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tools.scaffold import container_edits
from tools.scaffold.changes import PROJECT, Changes
from tools.scaffold.fields import Column
from tools.scaffold.names import words

CONTAINER_FILE = "bootstrap/container.py"
PARTS = ("container", "errors", "models", "public", "repository", "router", "schemas", "service")
_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=False,  # noqa: S701  # it writes Python
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def files_of(plan: dict[str, Any]) -> dict[str, str]:
    """Return the files of a new domain by path, but for its migration."""
    name = plan["name"]
    parts = [*PARTS, *(["job_types", "tasks"] if plan["has_tasks"] else [])]
    files = {f"domains/{name}/__init__.py": ""}
    files |= {f"domains/{name}/{part}.py": rendered(f"domain/{part}.py.j2", d=plan) for part in parts}
    files[f"tests/domains/{name}/factories.py"] = rendered("domain/factories.py.j2", d=plan)
    files[f"tests/domains/{name}/test_{name}.py"] = rendered("domain/test.py.j2", d=plan)
    if plan["mail"]:
        files |= {
            f"domains/{name}/templates/{plan['singular']}_created.{kind}": rendered(
                f"mail/created.{kind}.j2", **_mail(plan)
            )
            for kind in ("html", "txt")
        }
    return files


def write_domain(plan: dict[str, Any], root: Path = PROJECT) -> list[Path]:
    """Write a domain, its migration and its line in the map; return what was written or changed.

    Raises:
        StepFailed: what was written doesn't pass its checks; everything is as before.
    """
    with Changes(root) as changes:
        for path, text in files_of(plan).items():
            changes.write(path, text)
        changes.write(CONTAINER_FILE, with_new_domain(plan, (root / CONTAINER_FILE).read_text()))
        changes.tidy()
        changes.migrate("create", plan["name"])
        changes.tidy()
        return changes.changed()


def with_new_domain(plan: dict[str, Any], source: str) -> str:
    """Return the map's text with the new domain."""
    given = [f"{dependency.name}={dependency.given}" for dependency in plan["dependencies"]]
    return container_edits.with_domain(
        source, name=plan["name"], container=f"{plan['plural_cls']}Container", given=given
    )


def rendered(template: str, **names: Any) -> str:
    """Return a template's text."""
    return _templates.get_template(template).render(**names)


def _mail(plan: dict[str, Any]) -> dict[str, Any]:
    sentence = f"{plan['a'].capitalize()} of yours was created at {{{{ product }}}}."
    return {
        "title": f"Your new {plan['words']}",
        "sentence": textwrap.fill(sentence, 78),
        "facts": list(_facts(plan["singular"], plan["columns"])),
    }


def _facts(singular: str, columns: Sequence[Column]) -> Iterator[tuple[str, str]]:
    """Yield names and expressions of a mail's variables: no ids of other rows, which mean nothing to readers."""
    yield "Id", f"{singular}.id"
    for column in columns:
        if column.money and column.kind.ranged:
            amount, currency = f"{singular}.{column.name}", f"{singular}.{column.money}_currency"
            yield words(column.money).capitalize(), f"{amount} | money({currency})"
        elif not (column.money or column.reference):
            yield column.words.capitalize(), f"{singular}.{column.name}"
