"""Environment variables: the setting of each, and the misspelt ones."""

import difflib
from collections.abc import Iterable, Iterator, Mapping

from pydantic import AliasChoices
from pydantic.fields import FieldInfo

PREFIX = "TULOU_"
OF_COMMANDS = frozenset({"TULOU_ADMIN_PASSWORD", "TULOU_BUILD", "TULOU_OPERATOR", "TULOU_URL"})
"""Read by `tulou create-admin`, `tulou --version`, the commands that write into the audit log, and the demo; they set
nothing."""


def variables_of(name: str, field: FieldInfo) -> tuple[str, ...]:
    """Return the variables that a setting is read from, the first one's own name first."""
    names = [f"{PREFIX}{name.upper()}"]
    if isinstance(field.validation_alias, AliasChoices):
        names += [choice for choice in field.validation_alias.choices if isinstance(choice, str)]
    return tuple(dict.fromkeys(name for name in names if name.isupper()))


def known_variables(fields: Mapping[str, FieldInfo]) -> frozenset[str]:
    """Return every variable that the program reads."""
    return OF_COMMANDS.union(*(variables_of(name, field) for name, field in fields.items()))


def unknown_variables(environment: Iterable[str], known: frozenset[str]) -> Iterator[str]:
    """Yield a sentence about each variable that begins with TULOU_ but is not a setting."""
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            nearest = difflib.get_close_matches(name.upper(), sorted(known), n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else "; `tulou settings` prints those there are"
            yield f"{name} is not a setting{hint}"
