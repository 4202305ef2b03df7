"""A process exits if one of its background loops hangs, even while its event loop runs."""

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs import Program, free_port

TERM = 4
STOPPABLE = """
import signal

def stand_still(*_):
    from shared import background
    background.STALL_GRACE = 0.0
    loop = background.LOOPS["jobs.wake_ups"]
    loop.round_timeout = 0.0
    loop.begin()

signal.signal(signal.SIGUSR2, stand_still)
from bootstrap.cli.main import main
main()
"""


@pytest.fixture
def program(servers, settings, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Program]:
    """A process in which SIGUSR2 begins a loop whose rounds never end."""
    port, liveness_file = free_port(), tmp_path / "pulse"
    own = {"TULOU_PORT": str(port), "TULOU_PULSE_FILE": str(liveness_file), "TULOU_WATCHDOG": str(TERM)}
    started = Program([sys.executable, "-c", STOPPABLE, request.param], {**servers.environment, **own})
    if request.param == "serve":
        started.wait_until_it_answers(f"http://127.0.0.1:{port}/health/live", seconds=60)
    else:
        started.wait_for("relay_started", seconds=60)
    yield started
    started.stop(seconds=0)


@pytest.mark.parametrize("program", ["serve", "relay"], indirect=True)
def test_it_ends_itself(program: Program) -> None:
    time.sleep(2 * TERM)
    assert program.is_running, program.output
    program.process.send_signal(signal.SIGUSR2)
    assert program.process.wait(60) == 1
    assert "Timeout (0:00:04)" in program.output
