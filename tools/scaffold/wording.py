"""The sentences about fields that readers of the API see: "Due on this day." of `due_on`."""

import textwrap

from tools.scaffold.fields import Column
from tools.scaffold.names import words

_WIDTH = 84
_PREPOSITIONS = {"after", "at", "before", "by", "from", "on", "since", "until"}
_VERBS = {"can": "can", "has": "have", "is": "are", "needs": "need", "was": "were"}
"""With which the name of a yes or no may begin: of one thing, of many."""


def meaning(column: Column) -> str:
    """Return the description of a field, as a Python string."""
    empty = "unknown" if column.kind.model == "bool" else "none"
    return _quoted(f"{_said(column)}{f'; null: {empty}' if column.optional else ''}.")


def condition(name: str, column: Column) -> str:
    """Return which things a list shows with the filter of this name, as a Python string."""
    bound = name.removeprefix(column.name)
    return _quoted(f"{_bounded(column, bound) if bound else _equal(column)}.")


def _said(column: Column) -> str:
    thing, named = column.domain.words, column.words
    if column.money:
        price, is_amount = words(column.money), column.name.endswith("_amount")
        told = f"in `{column.money}_currency`" if is_amount else "a code as in ISO 4217"
        return f"{'Amount' if is_amount else 'Currency'} of the {thing}'s {price}, {told}"
    if column.reference:
        return f"Id of the {thing}'s {named}, one of the {words(column.reference)}"
    if column.choices:
        return (
            f"{named.capitalize()} of the {thing}: {', '.join(column.choices[:-1])} or {column.choices[-1]}"
        )
    if column.kind.model == "bool":
        verb, rest = _predicate(named)
        return f"Whether the {thing} {verb} {rest}"
    if _is_when(column):
        return f"{_when(column)} this {_unit(column)}"
    return f"{named.capitalize()} of the {thing}"


def _equal(column: Column) -> str:
    if column.money:
        return f"Only those whose {words(column.money)} is in this currency"
    if column.reference:
        return f"Only those whose {column.words} has this id"
    if column.kind.model == "bool":
        verb, rest = _predicate(column.words)
        return f"true: those that {_VERBS[verb]} {rest}; false: the others"
    looks_many = column.words.endswith("s") and not column.words.endswith(("is", "ss", "us"))
    return f"Only those whose {column.words} {'are' if looks_many else 'is'} exactly this"


def _bounded(column: Column, bound: str) -> str:
    if column.kind.model in {"date", "datetime"}:
        told = f"this {_unit(column)} or {'later' if bound == '_from' else 'earlier'}"
        return f"{_when(column)} {told}" if _is_when(column) else f"Only those whose {column.words} is {told}"
    least = "at least this" if bound == "_from" else "at most this"
    if column.money:
        return f"Only those whose {words(column.money)} is {least}; needs `{column.money}_currency`"
    return f"Only those whose {column.words} is {least}"


def _predicate(named: str) -> tuple[str, str]:
    """Return a verb and what follows: of `has seats` both are there, of `paid` it is said with "is"."""
    verb, _, rest = named.partition(" ")
    return (verb, rest) if verb in _VERBS and rest else ("is", named)


def _is_when(column: Column) -> bool:
    """Whether the name is a phrase that a day or a moment completes: due on, valid until, founded."""
    last = column.words.split(" ")[-1]
    return column.kind.model in {"date", "datetime"} and (last in _PREPOSITIONS or last.endswith("ed"))


def _when(column: Column) -> str:
    """Return the phrase, up to the day or the moment: due on, founded on."""
    said = column.words.capitalize()
    if said.split(" ")[-1].lower() in _PREPOSITIONS:
        return said
    return f"{said} {'on' if column.kind.model == 'date' else 'at'}"


def _unit(column: Column) -> str:
    return "day" if column.kind.model == "date" else "moment"


def _quoted(sentence: str) -> str:
    """Return a Python string, in pieces where it is long: the formatter breaks lines between them."""
    pieces = textwrap.wrap(sentence, _WIDTH, drop_whitespace=False, break_on_hyphens=False)
    return " ".join(f'"{piece}"' for piece in pieces)
