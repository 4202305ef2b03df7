"""Names of a domain: plural and singular, in words, in code and in addresses."""

import keyword
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST = 30
_TAKEN_PATHS = {
    "docs",
    "errors",
    "health",
    "metrics",
    "openapi",
    "pg_catalog",
    "information_schema",
    "public",
    "shared",
}


class NameRefused(Exception):
    """A name is invalid; the text says why."""


def camel(name: str) -> str:
    """`purchase_order` as `PurchaseOrder`."""
    return "".join(part.capitalize() for part in name.split("_"))


def words(name: str) -> str:
    """`purchase_order` as `purchase order`."""
    return name.replace("_", " ")


def with_article(text: str) -> str:
    """`invoice` as `an invoice`."""
    article: str = _english().a(text)
    return article


def singular_of(plural: str) -> str:
    """Return the singular of an English plural: `movie` of `movies`, `matrix` of `matrices`.

    Raises:
        NameRefused: it looks like none, or is a singular just as well.
    """
    before, joint, last = plural.rpartition("_")
    one = _english(classical=True).singular_noun(last)
    sure = one and last in {_english().plural_noun(one), _english(classical=True).plural_noun(one)}
    if not sure:
        raise NameRefused(f"{plural} looks like no plural. {_say_it(plural)}")
    if one == last:
        raise NameRefused(f"{plural} can be one or many. {_say_it(plural)}")
    return f"{before}{joint}{one}"


def _say_it(plural: str) -> str:
    return f"Say what one of them is called, as in --singular {plural}_entry."


@cache
def _english(*, classical: bool = False) -> Any:
    """Return what knows English. It knows most singulars in its classical mode: `index` of `indices`."""
    from inflect import engine  # noqa: PLC0415  # development has it, and only these commands need it

    english = engine()
    english.classical(all=False, ancient=classical)
    return english


@dataclass(frozen=True, slots=True)
class DomainName:
    """A domain's name. `path` is where its routes are."""

    name: str
    singular: str

    @property
    def cls(self) -> str:
        """Name of the class of one thing."""
        return camel(self.singular)

    @property
    def plural_cls(self) -> str:
        """Name of things that concern all of them."""
        return camel(self.name)

    @property
    def words(self) -> str:
        """The singular as people write it."""
        return words(self.singular)

    @property
    def plural_words(self) -> str:
        """The plural as people write it."""
        return words(self.name)

    @property
    def a(self) -> str:
        """The singular with its article."""
        return with_article(self.words)

    @property
    def path(self) -> str:
        """Where its routes are."""
        return f"/v1/{self.tag}"

    @property
    def tag(self) -> str:
        """The tag of its routes in the documentation."""
        return self.name.replace("_", "-")


def domain_name(name: str, singular: str | None, *, known: set[str]) -> DomainName:
    """Check a name.

    Args:
        name: the plural.
        singular: None: made from the plural.
        known: what the map has already.

    Raises:
        NameRefused: a sentence about what is wrong.
    """
    from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS  # noqa: PLC0415  # slow, and `tulou --help` loads this

    for given in (name, singular or name):
        if not _NAME.fullmatch(given) or len(given) > _LONGEST:
            raise NameRefused(
                f"{given} is not a domain name: use small letters, digits and single underscores, at most {_LONGEST}."
            )
    if name in known:
        raise NameRefused(f"{name} exists already; `tulou domains` lists all.")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name) or name in RESERVED_WORDS:
        raise NameRefused(f"{name} is a word of Python or SQL; find another name.")
    if name in _TAKEN_PATHS or name.startswith("pg_"):
        raise NameRefused(f"{name} means something else here; find another name.")
    one = singular or singular_of(name)
    if keyword.iskeyword(one) or one == name:
        raise NameRefused(f"{one} can't be the singular of {name}. {_say_it(name)}")
    return DomainName(name, one)
