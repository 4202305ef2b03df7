"""A process whose event loop hangs exits with code 1 and logs the stacks of its threads."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bootstrap.worker import ANNOUNCING
from tests.frozen import frozen
from tests.programs import Program, free_port
from tools.dev.valkey import EmbeddedValkey

TERM = 5.0
FREEZABLE = """
import os, re, signal, time

def freeze(*_):
    if os.environ["FREEZE"] == "sleeping":
        time.sleep(3600)
    re.match(r"(a+)+$", "a" * 64 + "b")  # for ages, with the interpreter's lock

signal.signal(signal.SIGUSR2, freeze)
from bootstrap.cli.main import main
main()
"""
ROLES = {"api": ["serve"], "relay": ["relay"], "worker": ["worker", "--queue", "mail"]}


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A Redis of one's own."""
    server = EmbeddedValkey(tmp_path / "valkey")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def liveness_file(tmp_path: Path) -> Path:
    """A folder of the files that processes touch."""
    folder = tmp_path / "pulse"
    folder.mkdir()
    return folder


@pytest.fixture
def freezable(
    servers, settings, valkey: EmbeddedValkey, liveness_file: Path
) -> Iterator[Callable[..., Program]]:
    """Start a process that SIGUSR2 freezes, and wait until it works."""
    started: list[Program] = []

    def start(role: str, **environment: str) -> Program:
        port = free_port()
        own = {
            "TULOU_PORT": str(port),
            "TULOU_PULSE_FILE": str(liveness_file / role),
            "TULOU_WATCHDOG": str(TERM),
            "REDIS_URL": valkey.url,
            "FREEZE": "sleeping",
        }
        program = Program(
            [sys.executable, "-c", FREEZABLE, *ROLES[role]], servers.environment | own | environment
        )
        started.append(program)
        if role == "api":
            program.wait_until_it_answers(f"http://127.0.0.1:{port}/health/live")
        else:
            until = time.monotonic() + 60
            while not (liveness_file / role).exists():
                assert program.is_running, program.output
                assert time.monotonic() < until, program.output
                time.sleep(0.05)
        return program

    yield start
    for program in started:
        program.stop(seconds=0)


@pytest.mark.parametrize(
    "how", ["sleeping", pytest.param("holding the interpreter's lock", marks=pytest.mark.long)]
)
@pytest.mark.parametrize("role", ROLES)
def test_a_frozen_process_ends_itself_and_says_where_it_was(role: str, how: str, freezable) -> None:
    program = freezable(role, FREEZE=how)
    program.process.send_signal(signal.SIGUSR2)
    assert program.process.wait(100) == 1
    assert "Timeout (0:00:" in program.output
    assert "in freeze" in program.output, "the stacks don't say where it was"


def test_a_process_without_a_watchdog_stays_frozen(freezable) -> None:
    program = freezable("relay", TULOU_WATCHDOG="0")
    program.process.send_signal(signal.SIGUSR2)
    with pytest.raises(subprocess.TimeoutExpired):
        program.process.wait(2 * TERM)


@pytest.mark.long
def test_processes_that_only_wait_for_redis_go_on(freezable, valkey, liveness_file: Path) -> None:
    running = {role: freezable(role) for role in ROLES}
    valkey.stop()
    away_since = time.time()
    time.sleep(TERM + ANNOUNCING.round_timeout + TERM)
    assert [role for role, program in running.items() if not program.is_running] == []
    # A worker connects again in a loop of its own, in which it must not count as dead.
    assert all((liveness_file / role).stat().st_mtime > away_since for role in ("relay", "worker"))


@pytest.mark.long
def test_processes_that_only_wait_for_postgresql_go_on(freezable, servers) -> None:
    running = {role: freezable(role) for role in ROLES}
    with frozen(servers.superuser_url):
        time.sleep(TERM + ANNOUNCING.round_timeout + TERM)
        assert [role for role, program in running.items() if not program.is_running] == []


def test_a_process_whose_loop_runs_but_whose_work_stands_still_ends() -> None:
    script = """
import asyncio
from bootstrap.runtime.watchdog import Watchdog

async def main():
    working = iter([True, True])
    Watchdog(2).follow(asyncio.get_running_loop(), works=lambda: next(working, False))
    await asyncio.sleep(3600)

asyncio.run(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "Timeout (0:00:02)" in ended.stderr
