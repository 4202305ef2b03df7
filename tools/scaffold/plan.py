"""Plan of a new domain: every value that its templates use."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bootstrap.container import TulouContainer, domains_of
from bootstrap.settings.model import Settings
from tools.scaffold.fields import Column, FieldRefused, columns_of, filters_of
from tools.scaffold.kinds import FIELD_TYPES, Kind
from tools.scaffold.names import DomainName, NameRefused, domain_name
from tools.scaffold.public_api import ReferencedEntity, referenced_entity_of
from tools.scaffold.wording import condition, meaning

_LONGEST_IDENTIFIER = 63
_WIDTH = 100
_VARIABLES = {
    *(
        "admin",
        "another",
        "body",
        "caller",
        "change",
        "client",
        "context",
        "created",
        "event",
        "found",
        "job",
        "mail",
        "named",
    ),
    *(
        "new",
        "now",
        "number",
        "other",
        "owner",
        "page",
        "payload",
        "people",
        "person",
        "prepared",
        "request",
        "row",
    ),
    *("response", "sent", "service", "user", "value", "values", "filters"),
}
"""Names that the templates use for something else."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """A dependency on another domain: its name here, its Protocol, the module, and the container's provider."""

    name: str
    protocol: str
    module: str
    given: str


def plan_domain(
    name: str,
    given: Sequence[str],
    *,
    singular: str | None = None,
    owned: bool = False,
    job: bool = False,
    mail: bool = False,
) -> dict[str, Any]:
    """Return what the templates call `d`.

    Raises:
        NameRefused, FieldRefused: a sentence about what can't be.
    """
    container = TulouContainer(settings=Settings())
    domains = domains_of(container)
    named = domain_name(name, singular, known={*domains, *container.providers})
    if named.singular in _VARIABLES:
        raise NameRefused(f"{named.singular} is not usable: the generated code uses this name.")
    if mail and not owned:
        raise NameRefused("A mail goes to an owner: --with-mail needs --owned.")
    actor = "owner" if owned else "admin"

    def reference(field_name: str, target: str) -> Kind:
        if target not in domains:
            raise FieldRefused(f"{field_name}: there is no domain {target}; there are {', '.join(domains)}.")
        if "lookup" not in domains[target].providers:
            raise FieldRefused(
                f"{field_name}: {target} has nothing that can be referred to (no provider `lookup`)."
            )
        return Kind(
            "UUID", "UUID", _sample_of(target, actor, owned="personal_data" in domains[target].providers)
        )

    columns = columns_of(given, named, reference)
    if not columns:
        raise FieldRefused(
            "A domain needs a field: --field name:str. `tulou new domain --help` shows the types."
        )
    _check_lengths(named, columns)
    references = [column for column in columns if column.reference]
    dependencies = {column.reference: _dependency_of(column.reference) for column in references}
    mail_dependencies = [
        _dependency_of("users"),
        Dependency("mailer", "Mailer", "domains.emails.public import Mailer", "emails.mailer"),
    ]
    all_dependencies = {
        dependency.name: dependency
        for dependency in [*dependencies.values(), *(mail_dependencies if mail else [])]
    }
    unique = [column for column in columns if "unique" in column.options]
    write_errors = [f"{column.cls}Taken" for column in unique] + [
        f"{column.cls}Unknown" for column in references
    ]
    required = next((column for column in columns if not column.optional), None)
    by = "owner_id" if owned else "caller_id"
    return {
        "name": named.name,
        "singular": named.singular,
        "cls": named.cls,
        "plural_cls": named.plural_cls,
        "words": named.words,
        "plural_words": named.plural_words,
        "a": named.a,
        "path": named.path,
        "tag": named.tag,
        "columns": columns,
        "owned": owned,
        "job": job,
        "mail": mail,
        "has_tasks": job or mail,
        "indexes": _indexes(named, columns, owned=owned),
        "unique_columns": unique,
        "taken": ", ".join(f"{column.cls}Taken" for column in unique),
        "unknown": ", ".join(f"{column.cls}Unknown" for column in references),
        "repository": "OwnedRepository" if owned else "CommonRepository",
        "unique_index": {column.name: f"uq_{named.name}_{column.name}" for column in unique},
        "references": references,
        "has_optional": any(column.optional for column in columns),
        "meanings": {column.name: meaning(column) for column in columns},
        "filters": [
            {"name": name, "type": _in_address(column), "meaning": condition(name, column)}
            for name, column in filters_of(columns)
        ],
        "monies": {column.money: column.optional for column in columns if column.money},
        "listed_by": _listed_by(columns),
        "sortable": [column for column in columns if column.kind.sortable and not column.optional],
        "dependencies": list(all_dependencies.values()),
        "service_dependencies": list(dependencies.values()),
        "modules": [dependency.module for dependency in all_dependencies.values()],
        "service_modules": [
            *(dependency.module for dependency in all_dependencies.values()),
            *(["domains.emails.public import OutgoingMail"] if mail else []),
        ],
        "factory_modules": [
            f"tests.domains.{target}.factories import create_{_referenced_entity_of(target).singular}"
            for target in dependencies
            if target not in _HAND_MADE
        ],
        "owner_parameter": ", owner_id: UUID" if owned else "",
        "owner_argument": ", owner_id" if owned else "",
        "by": by,
        "change_parameter": f", {by}: UUID" if owned or references else "",
        "change_argument": ", caller.user_id" if owned or references else "",
        "changer": "caller" if owned or references else "_admin",
        "create_docstring": _docstring(f"Create {named.a} and publish {named.cls}Created.", write_errors),
        "write_errors": write_errors,
        "write_problems": ", ".join(write_errors),
        "remarks": _remarks(references, unique),
        "field_types": _field_types(columns),
        "your": "your" if owned else "all",
        "reader": "caller" if owned else "_caller",
        "writer_type": "Caller" if owned else "Admin",
        "deleter": "caller" if owned else "_admin",
        "actor": "user" if owned else "admin",
        "actor_name": actor,
        "changed": _changed(columns),
        "refused_name": required.name if required else "nothing_of_this_kind",
        "refused_value": "None" if required else "1",
    }


_HAND_MADE = {
    "users": "str({actor}.id)",
    "files": '(await people.client.post("/v1/files", files={{"file": ("a.txt", b"text")}},'
    ' headers={actor}.headers)).json()["id"]',
}


def _sample_of(target: str, actor: str, *, owned: bool) -> str:
    """Return an expression for tests: the id of something that can be referred to."""
    if target in _HAND_MADE:
        return _HAND_MADE[target].format(actor=actor)
    whose = actor if owned else "await people.administrator()"
    return f'(await create_{_referenced_entity_of(target).singular}(people, {whose}))["id"]'


def _remarks(references: Sequence[Column], unique: Sequence[Column]) -> dict[str, Any]:
    """Return what the OpenAPI document says of a body besides: what it refers to, and what must differ each time."""
    named = {column.name: _address_of(column.reference) for column in references}
    different = [column.name for column in unique if not column.reference]
    return ({"x-refers-to": named} if named else {}) | ({"x-unique": different} if different else {})


def _address_of(target: str) -> str:
    """Return the path of one thing of a domain."""
    named = DomainName(target, _referenced_entity_of(target).singular)
    return f"{named.path}/{{{named.singular}_id}}"


def _dependency_of(target: str) -> Dependency:
    protocol = _referenced_entity_of(target).protocol
    return Dependency(target, protocol, f"domains.{target}.public import {protocol}", f"{target}.lookup")


def _referenced_entity_of(target: str) -> ReferencedEntity:
    entity = referenced_entity_of(target)
    if entity is None:
        raise FieldRefused(f"domains/{target}/public.py has no Protocol with `exists`: nothing to ask.")
    return entity


def _indexes(named: DomainName, columns: Sequence[Column], *, owned: bool) -> list[dict[str, Any]]:
    first = ["owner_id"] if owned else []
    found = [_index(f"ix_{named.name}_{'owner' if owned else 'created_at'}", [*first, "created_at", "id"])]
    for column in columns:
        if "unique" in column.options:
            found.append(_index(f"uq_{named.name}_{column.name}", [*first, column.name], unique=True))
        elif "index" in column.options:
            found.append(_index(f"ix_{named.name}_{column.name}", [*first, column.name, "id"]))
    return found


def _index(name: str, columns: Sequence[str], *, unique: bool = False) -> dict[str, Any]:
    return {"name": name, "columns": ", ".join(f'"{column}"' for column in columns), "unique": unique}


def _listed_by(columns: Sequence[Column]) -> str:
    """Return the parameters, in Python, of a list that must show the thing `created`."""
    alone = [
        (name, column) for name, column in filters_of(columns) if not (column.money and column.kind.ranged)
    ]
    params = {"sort": '"-created_at"'} | {name: f'created["{column.name}"]' for name, column in alone[:1]}
    return "{" + ", ".join(f'"{name}": {value}' for name, value in params.items()) + "}"


_IN_ADDRESS = {"bool": "bool", "int": "SafeIntegerInQuery"}


def _in_address(column: Column) -> str:
    """Return the type of a filter: that of the field, but in an address `true` and `42` are texts."""
    return _IN_ADDRESS.get(column.kind.model, column.alias)


def _field_types(columns: Sequence[Column]) -> str:
    """Return the names that the bodies import from `shared.field_types`."""
    used = {column.body for column in columns} | {_in_address(column) for _, column in filters_of(columns)}
    return ", ".join(sorted(used & FIELD_TYPES))


def _changed(columns: Sequence[Column]) -> list[str]:
    """Return the fields that a test changes: one that is no reference, and an amount with its currency."""
    first = next((column for column in columns if not column.reference), columns[0])
    return [
        column.name for column in columns if column is first or (first.money and column.money == first.money)
    ]


def _check_lengths(named: DomainName, columns: Sequence[Column]) -> None:
    for column in columns:
        if len(f"uq_{named.name}_{column.name}") > _LONGEST_IDENTIFIER:
            raise FieldRefused(f"{column.name} is too long a name for an index of {named.name}.")


def _docstring(sentence: str, errors: Sequence[str]) -> str:
    """Return a docstring's text: the errors behind the sentence, or below it where they are many."""
    if not errors:
        return sentence
    raises = f"Raises {', '.join(errors)}."
    if len(sentence) + len(raises) < _WIDTH:
        return f"{sentence} {raises}"
    lines = textwrap.wrap(raises, _WIDTH)
    return "\n".join([sentence, "", *(f"        {line}" for line in lines), "        "])
