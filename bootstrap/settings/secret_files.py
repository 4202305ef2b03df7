"""Secrets in files: TULOU_X_FILE names the file whose content is the value of the secret setting TULOU_X."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from bootstrap.settings.environment import variables_of

SUFFIX = "_FILE"


def is_secret(field: FieldInfo) -> bool:
    """Whether a setting is a secret or a list of secrets."""
    return _has_secret(field.annotation)


def file_variables(fields: Mapping[str, FieldInfo]) -> dict[str, str]:
    """Return the setting that each variable for a file belongs to."""
    return {
        f"{variable}{SUFFIX}": name
        for name, field in fields.items()
        if is_secret(field)
        for variable in variables_of(name, field)
    }


def read_secret_files(
    fields: Mapping[str, FieldInfo], environment: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the values that are in files and what is wrong with the others, both by setting.

    One newline at the end of a file does not belong to the value.
    """
    values: dict[str, str] = {}
    wrong: dict[str, str] = {}
    present = {name.upper(): value for name, value in environment.items() if value}
    for variable, name in file_variables(fields).items():
        if variable not in present:
            continue
        others = [*variables_of(name, fields[name]), *_files_before(variable, name, fields)]
        if rival := _first_of(others, present):
            wrong[name] = f"{rival} and {variable} are both set; unset one of them"
            continue
        try:
            text = Path(present[variable]).read_bytes().decode()
        except OSError as error:
            wrong[name] = f"{variable}: can't read {present[variable]}: {error.strerror}"
        except UnicodeDecodeError:
            wrong[name] = f"{variable}: {present[variable]} is not UTF-8 text"
        else:
            values[name] = text.removesuffix("\n").removesuffix("\r")
    return {name: value for name, value in values.items() if name not in wrong}, wrong


def _files_before(variable: str, name: str, fields: Mapping[str, FieldInfo]) -> list[str]:
    files = [f"{each}{SUFFIX}" for each in variables_of(name, fields[name])]
    return files[: files.index(variable)]


def _first_of(names: Iterable[str], present: Mapping[str, str]) -> str | None:
    return next((name for name in names if name in present), None)


def _has_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(_has_secret(part) for part in get_args(annotation))
