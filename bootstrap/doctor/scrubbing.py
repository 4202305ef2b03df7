"""Removes secrets and personal data from the bundle for support."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import SecretStr

from bootstrap.settings.model import Settings
from shared.redaction import HIDDEN, redacted

SHORTEST = 4
"""Shortest secret in characters that is searched for: shorter ones occur in any text by chance."""

_ADDRESS = re.compile(r"[^\s@<>\"'():;,=/]+@[^\s@<>\"'():;,=/]+\.[^\s@<>\"'():;,=/]+")
"""Anything like a mail address; a false match is only hidden."""

_SECRET_NAMES = re.compile(r"PASS|SECRET|TOKEN|KEY|CREDENTIAL|AUTH", re.IGNORECASE)


class Scrubber:
    """Hides the secrets of the settings and of the environment in any text."""

    def __init__(self, settings: Settings | None, environment: Mapping[str, str]) -> None:
        found = set(_secrets_in(settings)) if settings is not None else set()
        for name, value in environment.items():
            if _SECRET_NAMES.search(name):
                found.update(_parts_of(value))
            found.update(_logins_in(value))
        # The longest first: one may be a part of another.
        self._secrets = sorted((one for one in found if len(one) >= SHORTEST), key=len, reverse=True)
        self._home = str(Path.home())

    def text(self, text: str) -> str:
        """Return a text without secrets, mail addresses and the name of the home folder."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        text = _ADDRESS.sub(HIDDEN, redacted(text))
        return text.replace(self._home, "~") if len(self._home) > 1 else text

    def value(self, value: Any) -> Any:
        """Return a value that JSON can hold; texts in it, also keys, are scrubbed."""
        if isinstance(value, SecretStr):
            return HIDDEN
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(name)): self.value(each) for name, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(each) for each in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.text(str(value))

    def setting(self, value: Any) -> Any:
        """Return the value of a setting; one that names a person is hidden completely."""
        if isinstance(value, tuple):
            return [self.setting(each) for each in value]
        if isinstance(value, str) and _ADDRESS.search(value):
            return HIDDEN
        return self.value(value)


def _secrets_in(settings: Settings) -> Iterator[str]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, SecretStr):
                yield from _parts_of(each.get_secret_value())


def _parts_of(secret: str) -> Iterator[str]:
    """Yield a secret; of a URL only user and password, because its address is no secret."""
    if "://" in secret:
        yield from _logins_in(secret)
    else:
        yield secret


def _logins_in(text: str) -> Iterator[str]:
    """Yield the passwords of a URL, and the user if it is a mail address or has no password."""
    parts = _split(text)
    if parts is None or "@" not in parts.netloc:
        return
    login = parts.netloc.rpartition("@")[0]
    user, separator, password = login.partition(":")
    for secret in (password,) if separator else (user,):
        yield from {secret, unquote(secret)}
    if "@" in unquote(user):
        yield from {user, unquote(user)}


def _split(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    return parts if parts.scheme and parts.netloc else None
