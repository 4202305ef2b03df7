"""The liveness file, as containers check it."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bootstrap.runtime.liveness import LONGEST_PAUSE, liveness_problem
from tests.programs import free_port


def test_a_fresh_liveness_file_is_life_and_an_old_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "pulse"
    file.touch()
    environment = {"TULOU_PULSE_FILE": str(file)}
    assert liveness_problem(environment) is None
    old = time.time() - LONGEST_PAUSE - 5
    os.utime(file, (old, old))
    assert "No sign of life for" in (liveness_problem(environment) or "")


def test_without_a_liveness_file_the_api_is_asked(system_url: str, tmp_path: Path) -> None:
    port = system_url.rsplit(":", 1)[1]
    environment = {"TULOU_PULSE_FILE": str(tmp_path / "none"), "TULOU_PORT": port, "TULOU_HOST": "127.0.0.1"}
    assert liveness_problem(environment) is None
    assert "Nothing answers" in (liveness_problem(environment | {"TULOU_PORT": str(free_port())}) or "")


def test_who_only_listens_is_not_alive() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {"TULOU_PORT": str(silent.getsockname()[1])}
        assert "Nothing answers" in (liveness_problem(environment) or "")


def test_asking_loads_nothing_of_the_program() -> None:
    loaded = "import bootstrap.runtime.liveness, sys; print(*sys.modules)"
    asked = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, timeout=30, check=True
    )
    assert not {"pydantic", "typer", "fastapi", "celery", "sqlalchemy"} & set(asked.stdout.split())


@pytest.mark.parametrize(
    "arguments", [("relay",), pytest.param(("worker", "--queue", "mail"), marks=pytest.mark.long)]
)
def test_workers_and_relays_have_a_liveness_file(
    arguments: tuple[str, ...], programs, tmp_path: Path
) -> None:
    file = tmp_path / "pulse"
    program = programs(*arguments, TULOU_PULSE_FILE=str(file))
    until = time.monotonic() + 30
    while not file.exists():
        assert program.is_running, program.output
        assert time.monotonic() < until, program.output
        time.sleep(0.05)
    asked = [sys.executable, "-m", "bootstrap.runtime.liveness"]
    environment = {**os.environ, "TULOU_PULSE_FILE": str(file)}
    assert subprocess.run(asked, env=environment, timeout=30, check=False).returncode == 0
    program.stop()  # else it would take other tests' jobs


@pytest.fixture
def system_url(programs) -> str:
    port = free_port()
    api = programs("serve", TULOU_PORT=str(port))
    api.wait_until_it_answers(f"http://127.0.0.1:{port}/health/live")
    return f"http://127.0.0.1:{port}"
