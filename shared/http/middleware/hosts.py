"""The host names that this server accepts (RFC 9110, section 7.2)."""

import re
from collections.abc import Iterable
from functools import lru_cache

from shared.errors import BadRequest

_HOST = re.compile(rb"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_LONGEST = 255
_REMEMBERED = 256


class UnknownHost(BadRequest):
    """The request is meant for another server, or its `Host` is invalid."""

    code = "request.unknown_host"
    remedy = "Use an address of this server. The operator lists its names in `TULOU_TRUSTED_HOSTS`."
    detail = "Send exactly one Host header with a host name of this server."


class Hosts:
    """Checks Host headers. Without `names`, any well-formed one is accepted.

    An absolute target may name another server, as a request to a proxy does. So without `names` only `own` is accepted
    in an absolute target.
    """

    def __init__(self, names: Iterable[str] = (), *, own: Iterable[str] = ()) -> None:
        self._names = frozenset(name.lower().encode() for name in names)
        self._own = self._names or frozenset(name.lower().encode() for name in own)
        # Clients send the same few names, so the regular expression runs rarely.
        self._verdict = lru_cache(_REMEMBERED)(self._look)

    def check(self, host: bytes, *, any_name: bool, is_absolute: bool = False) -> None:
        """Check a host. With `any_name` it only has to be well-formed; `is_absolute` says that the target named it.

        Raises:
            UnknownHost: the host isn't accepted.
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
