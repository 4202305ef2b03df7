"""Which processor core runs what: the server that is measured has one to itself, all else takes the others."""

import os
from collections.abc import Iterable

import psutil  # type: ignore[import-untyped]


def server_core() -> set[int]:
    """Return the core of the server that is measured; every core, where there is only one or they can't be chosen."""
    cores = _cores()
    return {cores[0]} if len(cores) > 1 else set(cores)


def spare_core() -> set[int]:
    """Return the cores of everything else."""
    cores = _cores()
    return set(cores[1:]) or set(cores)


def every_core() -> set[int]:
    """Return all cores that this process was given."""
    return set(_cores())


def run_on(cores: set[int], pid: int = 0) -> None:
    """Keep a process, by default this one, on these cores, with every thread that it has."""
    if not hasattr(os, "sched_setaffinity"):
        return
    threads: Iterable[int] = (thread.id for thread in psutil.Process(pid or None).threads())
    for thread in [*threads]:
        os.sched_setaffinity(thread, cores)


def _cores() -> list[int]:
    return _GIVEN


# As this process found them when it started: a child inherits what its parent was kept to.
_GIVEN = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
