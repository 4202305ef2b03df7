"""Writes docs/settings.md: every setting with its default and its bounds, from the settings classes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from bootstrap.settings.environment import variables_of
from bootstrap.settings.model import Settings
from bootstrap.settings.secret_files import SUFFIX, is_secret

HEAD = """# Settings

Written by `make format` from the code; a test fails when it is out of date. All are environment variables, read once at
the start. An invalid value, or a variable that begins with `TULOU_` but is not listed here, stops the start with a
message that names it. Seconds and bytes are meant where no unit is named.

A secret can be kept in a file instead: a variable's name with `_FILE` behind it (`TULOU_TOKEN_KEY_FILE`,
`DATABASE_URL_FILE`) names the file. Its content is the value, without one newline at its end. Setting both stops the
start.
"""
_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def settings_page() -> str:
    """Return the page as Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield HEAD
    for owner in (Settings, *sorted(_mixins(), key=lambda mixin: mixin.__module__)):
        is_core = owner is Settings
        own = [name for name in Settings.model_fields if name in owner.__annotations__]
        yield f"## {'core' if is_core else owner.__module__.split('.')[1]}\n"
        if not is_core and owner.__doc__:
            yield f"{owner.__doc__.strip()}\n"
        yield "| variable | default | allowed | meaning |"
        yield "|---|---|---|---|"
        for name in own:
            yield _row(name, Settings.model_fields[name])
        yield ""


def _mixins() -> list[type[Any]]:
    return [base for base in Settings.__bases__ if base is not BaseSettings]


def _row(name: str, field: FieldInfo) -> str:
    first, *others = variables_of(name, field)
    variable = f"`{first}`" + "".join(f" or `{other}`" for other in others)
    if is_secret(field):
        variable += f", or `{first}{SUFFIX}`"
    cells = (variable, _default(field), _allowed(field), field.description or "")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _default(field: FieldInfo) -> str:
    value = field.get_default()
    if value is None or value == ():
        return ""
    if isinstance(value, Path):
        value = value.as_posix()
    if isinstance(value, tuple):
        value = ",".join(value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _allowed(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    bounds = [
        f"{sign} {getattr(bound, name)}"
        for bound in field.metadata
        for name, sign in _SIGNS.items()
        if getattr(bound, name, None) is not None
    ]
    return ", ".join(bounds)
