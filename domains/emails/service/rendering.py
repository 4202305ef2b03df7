"""Mails from templates: HTML with its styles inlined, and text. Templates come from disk only, never from input."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, PrefixLoader, StrictUndefined, Template, TemplateNotFound

_OWN = "emails"


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a mail says."""

    subject: str
    text: str
    html: str


class Renderer:
    """Renders `<folder>/<name>.html` and `.txt`; `folders` maps each domain's name to its templates folder.

    Every template can name `product`, `public_url`, `locale` and, but for its subject, `subject` besides its variables.
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
        self._environment.filters["host"] = lambda url: urlsplit(url).netloc
        # Of the processes only those that have written a mail need it.
        from css_inline import CSSInliner  # noqa: PLC0415  # as above

        # Styles that can't be inlined (dark mode) stay in the head; nothing is ever fetched.
        self._inliner = CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)

    def render(self, name: str, variables: Mapping[str, Any], *, locale: str | None = None) -> Rendered:
        """Render a mail in this language, or in the template's own where it doesn't know it.

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


def _block(template: Template, block: str, variables: Mapping[str, Any]) -> str:
    if block not in template.blocks:
        message = f"the template {template.name} has no block {block}"
        raise LookupError(message)
    return "".join(template.blocks[block](template.new_context(dict(variables))))


def _languages(locale: str | None) -> Iterator[str]:
    """Give what may stand between a template's name and its kind, best first. Only letters get into a path."""
    parts = (locale or "").replace("_", "-").split("-")
    if all(part.isascii() and part.isalnum() for part in parts):
        for length in range(len(parts), 0, -1):
            yield f".{'-'.join(parts[:length])}"
    yield ""


def _is_html(name: str | None) -> bool:
    return name is not None and name.endswith(".html")
