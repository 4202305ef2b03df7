"""The names under which this server may be asked (RFC 9110, section 7.2)."""

import re
from collections.abc import Iterable
from functools import lru_cache

from shared.errors import BadRequest

_HOST = re.compile(rb"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_LONGEST = 255
_REMEMBERED = 256


ABSOLUTE = "tulou.absolute_target"
"""What the scope of a request has whose target named the host: Host says what the target said."""


class UnknownHost(BadRequest):
    """The request is meant for another server, or its Host is no host at all."""

    code = "request.unknown_host"
    detail = "Send exactly one Host header, with a name that this server answers to."


class Hosts:
    """Which Host headers are accepted. Without names any that is well-formed.

    An absolute target always names the server that is meant, as a proxy does that was asked for another one: without
    names only `own` is accepted there.
    """

    def __init__(self, names: Iterable[str] = (), *, own: Iterable[str] = ()) -> None:
        self._names = frozenset(name.lower().encode() for name in names)
        self._own = self._names or frozenset(name.lower().encode() for name in own)
        self._verdict = lru_cache(_REMEMBERED)(self._look)

    def check(self, host: bytes, *, any_name: bool, is_absolute: bool = False) -> None:
        """Check a Host header; `any_name`: it only has to be well-formed. `is_absolute`: the target said it.

        Raises:
            UnknownHost: it isn't accepted.
        """
        name = self._verdict(host) if len(host) <= _LONGEST else None
        if name is None:
            raise UnknownHost
        if name in self._own if is_absolute else (any_name or not self._names or name in self._names):
            return
        raise UnknownHost

    def _look(self, host: bytes) -> bytes | None:
        """Return the name in a well-formed header."""
        match = _HOST.fullmatch(host)
        return match and match[1].lower()
