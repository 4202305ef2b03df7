"""Reads the settings from the environment, and rejects invalid ones and those that are unsafe in production."""

import os
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from bootstrap.settings.environment import PREFIX, known_variables, unknown_variables, variables_of
from bootstrap.settings.model import Settings, SettingsError
from bootstrap.settings.production_checks import unsafe_values
from bootstrap.settings.required import EVERYTHING
from bootstrap.settings.secret_files import file_variables, read_secret_files


class UnusableSettings(SettingsError):
    """Invalid settings, or unsafe ones in production. `problems` has a sentence for each of them."""

    def __init__(self, unusable: Sequence[str], unsafe: Sequence[str]) -> None:
        sections = {"These settings are invalid:": unusable, "Missing or unsafe in production:": unsafe}
        super().__init__(
            "\n".join("\n  ".join([title, *lines]) for title, lines in sections.items() if lines)
        )
        self.problems = (*unusable, *unsafe)


def load_settings(required: Sequence[str] = EVERYTHING, **given: Any) -> Settings:
    """Read the settings. `required` are those that production refuses to start without.

    Raises:
        UnusableSettings: one line for each setting that can't be used, and in production for each unsafe one.
    """
    fields = Settings.model_fields
    known = known_variables(fields) | file_variables(fields).keys()
    unusable = list(unknown_variables(os.environ, known))
    from_files, unreadable = read_secret_files(fields, os.environ)
    loaded, wrong = _read(from_files | given)
    wrong |= unreadable
    unusable += wrong.values()
    unsafe = []
    if loaded is not None and loaded.env == "production":
        found = [(name, why) for name, why in unsafe_values(loaded, required) if name not in wrong]
        unsafe = [f"{PREFIX}{name.upper()} {why}" for name, why in found]
    if unusable or unsafe or loaded is None:
        raise UnusableSettings(unusable, unsafe)
    return loaded


def _read(given: dict[str, Any]) -> tuple[Settings | None, dict[str, str]]:
    """Return the settings, with defaults in place of invalid values, and the errors by name."""
    try:
        return Settings(**given), {}
    except ValidationError as error:
        wrong = dict(_complaint(problem) for problem in error.errors(include_input=False))
    defaults = {name: Settings.model_fields[name].get_default() for name in wrong if name}
    try:
        return Settings(**(given | defaults)), wrong
    except ValidationError:
        return None, wrong


def _complaint(problem: ErrorDetails) -> tuple[str, str]:
    """Return the setting of a problem, and a sentence that names the variable."""
    sentence = problem["msg"].removeprefix("Value error, ")
    said = str(problem["loc"][0]) if problem["loc"] else ""
    for name, field in Settings.model_fields.items():
        if said.upper() in {name.upper(), *variables_of(name, field)}:
            variable = said if said.isupper() else variables_of(name, field)[0]
            return name, f"{variable}: {sentence}"
    return "", sentence
