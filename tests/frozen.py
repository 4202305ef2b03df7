"""Servers that accept connections and never respond."""

import contextlib
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil


@contextlib.contextmanager
def frozen(*urls: str) -> Iterator[None]:
    """Let the servers that listen there take connections and answer nothing (SIGSTOP)."""
    ports = {urlsplit(url).port for url in urls}
    listening = [server for server in psutil.Process().children(recursive=True) if ports_of(server) & ports]
    assert len(listening) >= len(ports)
    stopped: list[psutil.Process] = []
    try:
        while family := with_their_children(listening) - set(
            stopped
        ):  # it has children while it is being stopped
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.suspend()
                stopped.append(process)
        yield
    finally:
        for process in stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


def ports_of(process: psutil.Process) -> set[int]:
    """Return the ports on which it listens; none if it has ended meanwhile."""
    try:
        return {held.laddr.port for held in process.net_connections("tcp") if held.status == "LISTEN"}
    except psutil.NoSuchProcess:
        return set()


def with_their_children(processes: list[psutil.Process]) -> set[psutil.Process]:
    """Return the processes and all that they have started."""
    return {*processes, *(child for process in processes for child in process.children(recursive=True))}
