"""Rendering of templates: HTML with its styles inlined, and text. Templates come from disk only, never from input."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, PrefixLoader, StrictUndefined, Template, TemplateNotFound

from shared.field_types import plain_number

_OWN = "emails"
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True, slots=True)
class Rendered:
    """The content of a mail."""

    subject: str
    text: str
    html: str


class Renderer:
    """Renders `<folder>/<name>.html` and `.txt`; `folders` maps each domain's name to its templates folder.

    Every template also has the variables `product`, `public_url`, `locale` and, outside its subject, `subject`, and the
    filters `in_words`, `money` and `host`.
    """

    def __init__(
        self, folders: Mapping[str, Path], *, own_folder: Path, product: str, public_url: str
    ) -> None:
        loaders = {name: FileSystemLoader(folder) for name, folder in {**folders, _OWN: own_folder}.items()}
        self._environment = Environment(
            loader=PrefixLoader(loaders),
            autoescape=_is_html,  # noqa: S701  # text parts are no HTML
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
        )
        self._environment.globals.update(product=product, public_url=public_url)
        self._environment.filters |= {
            "host": lambda url: urlsplit(url).netloc,
            "in_words": in_words,
            "money": money,
        }
        # Imported here, because only processes that write mails need it.
        from css_inline import CSSInliner  # noqa: PLC0415  # as above

        # Styles that can't be inlined (dark mode) stay in the head; nothing is fetched.
        self._inliner = CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)

    def render(self, name: str, variables: Mapping[str, Any], *, locale: str | None = None) -> Rendered:
        """Render a mail in this language, or in the template's default language.

        Raises:
            LookupError: there is no such template, or its text has no subject or body.
            jinja2.UndefinedError: a variable is missing.
        """
        known = {"locale": locale, **variables}
        text = self._find(name, "txt", locale)
        subject = " ".join(_block(text, "subject", known).split(" ")).strip()
        html = self._find(name, "html", locale).render({"subject": subject, **known})
        body = _block(text, "body", {"subject": subject, **known})
        return Rendered(subject, f"{body.strip()}\n", self._inliner.inline(html))

    def _find(self, name: str, kind: str, locale: str | None) -> Template:
        for language in _languages(locale):
            try:
                return self._environment.get_template(f"{name}{language}.{kind}")
            except TemplateNotFound as error:
                missing = error
        message = f"there is no template {name}.{kind}"
        raise LookupError(message) from missing


def in_words(value: Any) -> str:
    """Return a value in English: `1 July 2026, 10:00 UTC`, `73.5`, `yes`."""
    match value:
        case None:
            text = "\N{EN DASH}"
        case bool():
            text = "yes" if value else "no"
        case StrEnum():
            text = value.value.replace("_", " ")
        case datetime():
            moment = value.astimezone(UTC)
            text = f"{in_words(moment.date())}, {moment:%H:%M} UTC"
        case date():
            text = f"{value.day} {_MONTHS[value.month - 1]} {value.year}"
        case Decimal():
            text = plain_number(value)
        case dict():
            text = ", ".join(f"{name}: {in_words(part)}" for name, part in value.items())
        case list():
            text = ", ".join(in_words(part) for part in value)
        case _:
            text = str(value)
    return text


def money(amount: Decimal | None, currency: str | None) -> str | None:
    """Return an amount with its currency, `12.50 EUR`; None without an amount."""
    return None if amount is None else f"{amount} {currency}"


def _block(template: Template, block: str, variables: Mapping[str, Any]) -> str:
    if block not in template.blocks:
        message = f"the template {template.name} has no block {block}"
        raise LookupError(message)
    return "".join(template.blocks[block](template.new_context(dict(variables))))


def _languages(locale: str | None) -> Iterator[str]:
    """Yield what may stand between a template's name and its extension, best first; only letters and digits.

    Extensions (`-u-nu-latn`) and private use choose no template.
    """
    parts = [*takewhile(lambda part: len(part) != 1, (locale or "").replace("_", "-").split("-"))]
    if all(part.isascii() and part.isalnum() for part in parts):
        for length in range(len(parts), 0, -1):
            yield f".{'-'.join(parts[:length])}"
    yield ""


def _is_html(name: str | None) -> bool:
    return name is not None and name.endswith(".html")
