"""Addresses of servers, and why one can't be reached: by errno, because texts of errors differ between systems."""

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from bootstrap.diagnosis.errors import CheckFailed

CONNECT_PATIENCE = 3.0
"""Time limit in seconds for a connection to each address of a server."""

_NO_ROUTE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL})
_DEFAULT_PORTS = {"postgresql": 5432, "redis": 6379, "rediss": 6379, "http": 80, "https": 443}


@dataclass(frozen=True)
class Place:
    """Address of a server, and the setting that has it. A host that begins with `/` is a Unix socket."""

    server: str
    setting: str
    host: str
    port: int

    def __str__(self) -> str:
        """`PostgreSQL at db:5432`."""
        where = self.host if self.is_local_socket else f"{self.host}:{self.port}"
        return f"{self.server} at {where}"

    @property
    def is_local_socket(self) -> bool:
        """Whether it is a Unix socket."""
        return self.host.startswith("/")


def place_of(server: str, setting: str, url: str) -> Place:
    """Read a URL; of several hosts (libpq allows a list) the first one."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return Place(server, setting, parts.path, 0)
    first = parts.netloc.rpartition("@")[2].split(",")[0]
    single = urlsplit(f"//{first}")
    given = {name: values[0] for name, values in parse_qs(parts.query).items()}
    host = single.hostname or given.get("host", "localhost")
    port = single.port or int(given.get("port", "0")) or _DEFAULT_PORTS.get(parts.scheme, 0)
    return Place(server, setting, unquote(host), port)


async def unreachable(place: Place) -> CheckFailed | None:
    """Connect to each address of a server; return why none accepts, or None if one does."""
    if place.is_local_socket:
        return await _no_socket(place)
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return _no_name(place, error)
    failure: OSError | None = None
    for address in dict.fromkeys(str(entry[4][0]) for entry in found):
        failure = await _refusal_of(address, place.port)
        if failure is None:
            return None
    return _not_connected(place, failure)


async def _refusal_of(address: str, port: int) -> OSError | None:
    try:
        async with asyncio.timeout(CONNECT_PATIENCE):
            _, writer = await asyncio.open_connection(address, port)
    except TimeoutError:
        return TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
    except OSError as error:
        return error
    writer.close()
    return None


async def _no_socket(place: Place) -> CheckFailed | None:
    path = place.host if place.port == 0 else f"{place.host}/.s.PGSQL.{place.port}"
    try:
        async with asyncio.timeout(CONNECT_PATIENCE):
            _, writer = await asyncio.open_unix_connection(path)
    except OSError as error:
        return _not_connected(place, error)
    writer.close()
    return None


def _no_name(place: Place, error: socket.gaierror) -> CheckFailed:
    if error.errno == socket.EAI_AGAIN:
        return CheckFailed(
            f"{place}: the name server does not answer ({name_of(error)}).",
            f"Check /etc/resolv.conf and the network of this machine, or write an address into {place.setting}.",
        )
    return CheckFailed(
        f"{place}: there is no host {place.host} ({name_of(error)}).",
        f"Correct the host in {place.setting}.",
    )


def _not_connected(place: Place, error: OSError | None) -> CheckFailed:
    number = error.errno if error is not None else None
    reason = f"({name_of(error)})" if error is not None else ""
    if number == errno.ECONNREFUSED:
        return CheckFailed(
            f"{place}: nothing listens there {reason}.",
            f"Start {place.server} there, or correct host and port in {place.setting}.",
        )
    if number == errno.ETIMEDOUT or isinstance(error, TimeoutError):
        return CheckFailed(
            f"{place}: no answer within {CONNECT_PATIENCE:.0f} s {reason}.",
            f"Let firewalls pass connections from this machine to port {place.port}, or correct {place.setting}.",
        )
    if number in _NO_ROUTE:
        return CheckFailed(
            f"{place}: no network leads there {reason}.",
            f"Connect this machine to the network of that host, or correct the host in {place.setting}.",
        )
    if number == errno.ENOENT:
        return CheckFailed(
            f"{place}: there is no such socket {reason}.",
            f"Start {place.server}, or correct {place.setting}.",
        )
    return CheckFailed(f"{place}: connecting failed {reason}.", f"Correct {place.setting}.")


def name_of(error: OSError) -> str:
    """Return the symbolic name of an error: `ECONNREFUSED`, `EAI_NONAME`."""
    if isinstance(error, socket.gaierror):
        names = {value: name for name, value in vars(socket).items() if name.startswith("EAI_")}
        return names.get(error.errno or 0, type(error).__name__)
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what led to it, the error first."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
