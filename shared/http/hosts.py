"""The names under which this server may be asked (RFC 9110, section 7.2)."""

import re
from collections.abc import Iterable
from functools import lru_cache

from shared.errors import BadRequest

_HOST = re.compile(rb"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_LONGEST = 255
_REMEMBERED = 256


class UnknownHost(BadRequest):
    """The request is meant for another server, or its Host is no host at all."""

    code = "request.unknown_host"
    detail = "Send exactly one Host header, with a name that this server answers to."


class Hosts:
    """Which Host headers are accepted. Without names any that is well-formed."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(name.lower().encode() for name in names)
        self._verdict = lru_cache(_REMEMBERED)(self._look)

    def check(self, host: bytes, *, any_name: bool) -> None:
        """Check a Host header; `any_name`: it only has to be well-formed.

        Raises:
            UnknownHost: it isn't accepted.
        """
        well_formed, known = self._verdict(host) if len(host) <= _LONGEST else (False, False)
        if not (known or (any_name and well_formed)):
            raise UnknownHost

    def _look(self, host: bytes) -> tuple[bool, bool]:
        match = _HOST.fullmatch(host)
        return match is not None, match is not None and (not self._names or match[1].lower() in self._names)
