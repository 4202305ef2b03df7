"""Ports of the embedded services: found once, stored, and checked before use."""

import errno
import json
import random
import socket
from pathlib import Path

from bootstrap.settings.private_files import write_private
from tools.dev.errors import EmbeddedError, PortTaken

LOOPBACK = "127.0.0.1"
# Below 32768, where Linux begins to hand out ports for outgoing connections, so a remembered port stays ours.
CANDIDATES = range(20_000, 32_000)


def choose_port(name: str, *, memory: Path) -> int:
    """Return the port of the service `name` on 127.0.0.1: the one in `memory` (a JSON file) if it is free.

    Raises EmbeddedError when no free port is found.
    """
    known = _read(memory)
    port = known.get(name)
    if port is None or not is_free(LOOPBACK, port):
        port = _any_free_port(avoid=set(known.values()))
        write_private(memory, json.dumps(known | {name: port}, indent=2) + "\n")
    return port


def is_free(host: str, port: int) -> bool:
    """Return whether a server could listen on `host` and `port` now."""
    try:
        _bind(host, port)
    except OSError:
        return False
    return True


def require_free(host: str, port: int) -> None:
    """Check that a server can listen on `host` and `port`.

    Raises PortTaken when something listens there, EmbeddedError when the address itself is refused.
    """
    try:
        _bind(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"Port {port} on {host} is taken, perhaps by another Tulou or another web server: "
                f"stop that one, or choose another port with TULOU_PORT (TULOU_PORT={port + 1}, for example)."
            ) from None
        if error.errno == errno.EACCES:
            raise EmbeddedError(
                f"Port {port} on {host} is reserved for root: choose one above 1023 with TULOU_PORT."
            ) from None
        raise EmbeddedError(
            f"Nothing can listen on {host}, port {port} ({error.strerror or error}): "
            "check the settings TULOU_HOST and TULOU_PORT."
        ) from None


def _bind(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Connections that ended a moment ago must not make the port look taken; servers set this option too.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen(1)


def _any_free_port(*, avoid: set[int]) -> int:
    for _ in range(200):
        port = random.choice(CANDIDATES)  # noqa: S311 - a port number is no secret
        if port not in avoid and is_free(LOOPBACK, port):
            return port
    raise EmbeddedError("No free port was found on 127.0.0.1 for the embedded services.")


def _read(memory: Path) -> dict[str, int]:
    try:
        known = json.loads(memory.read_text())
    except (OSError, ValueError):
        return {}
    return (
        {name: port for name, port in known.items() if isinstance(port, int)}
        if isinstance(known, dict)
        else {}
    )
