"""The bundled list of common passwords, lower-cased, eight characters and more (its licence lies beside it)."""

import gzip
from functools import cache
from pathlib import Path

from shared.normal_forms import normalised

_LIST = Path(__file__).with_name("common_passwords.txt.gz")


def is_common(password: str) -> bool:
    """Tell whether a password is on the list; capitals and full-width forms make no difference."""
    return normalised("NFKC", password).casefold() in _common()


@cache
def _common() -> frozenset[str]:
    with gzip.open(_LIST, "rt", encoding="utf-8") as lines:
        return frozenset(line.rstrip("\n") for line in lines)
