"""deploy/systemd/: valid, sandboxed units that agree with the program; each service gets only its secrets."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.cli.main import app as tulou
from bootstrap.settings.env_files import SECRETS
from bootstrap.settings.environment import known_variables
from bootstrap.settings.model import Settings
from bootstrap.settings.secret_files import file_variables
from tests.deployment.test_compose import SECRETS_OF

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
COMMON = FOLDER / "tulou-.service.d" / "10-common.conf"
SERVICES = sorted(FOLDER.glob("*.service"))
FILES = file_variables(Settings.model_fields)
KNOWN = known_variables(Settings.model_fields)
ANALYZE = shutil.which("systemd-analyze")
MOST_EXPOSED = 20
"""Tenths of 10 points; below 2.0 systemd says OK."""

each_service = pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="units are NOT CHECKED by systemd: it is not here")


def lines_of(*paths: Path) -> Iterator[tuple[str, str]]:
    for path in paths:
        for line in path.read_text().splitlines():
            name, separator, value = line.partition("=")
            if separator and not line.startswith("#"):
                yield name, value


def values(path: Path, name: str) -> list[str]:
    """Return the values of an option, those that all services have first."""
    return [value for found, value in lines_of(COMMON, path) if found == name]


def environment_of(path: Path) -> dict[str, str]:
    words = [word for value in values(path, "Environment") for word in value.split()]
    return dict(word.split("=", 1) for word in words)


def name_of(path: Path) -> str:
    return path.stem.removeprefix("tulou-")


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ANALYZE), *arguments],
        cwd=FOLDER,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{FOLDER}:"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_each_role_has_a_service() -> None:
    commands = {name_of(path): values(path, "ExecStart") for path in SERVICES}
    queues = {
        f"worker-{queue}": [f"/opt/tulou/bin/tulou worker --queue {queue}"]
        for queue in ("default", "mail", "files")
    }
    assert commands == {
        "api": ["/opt/tulou/bin/tulou serve"],
        "relay": ["/opt/tulou/bin/tulou relay"],
        "migrate": ["/opt/tulou/bin/tulou migrate"],
        "backup": ["/opt/tulou/bin/tulou backup"],
        **queues,
    }
    known = {command.name or command.callback.__name__ for command in tulou.registered_commands}
    assert {found[0].split()[1] for found in commands.values()} <= known


@each_service
def test_each_service_gets_the_secrets_that_it_needs_and_no_others(path: Path) -> None:
    credentials = dict(value.split(":") for value in values(path, "LoadCredential"))
    assert set(credentials) == SECRETS_OF[name_of(path)]
    assert set(credentials) <= set(SECRETS)
    assert all(file == f"/etc/tulou/secrets/{name}" for name, file in credentials.items())
    named = {
        variable: value.removeprefix("%d/")
        for variable, value in environment_of(path).items()
        if "%d/" in value
    }
    assert set(named.values()) == set(credentials)
    assert all(FILES[variable].removeprefix("emails_") == name for variable, name in named.items())


@each_service
def test_variables_are_settings(path: Path) -> None:
    assert {name for name in environment_of(path) if name.startswith("TULOU_")} <= KNOWN | set(FILES)


@each_service
def test_each_service_is_limited_and_what_lasts_is_restarted(path: Path) -> None:
    (kind,) = values(path, "Type")
    assert values(path, "MemoryMax")
    assert values(path, "TasksMax")
    assert values(path, "User") == ["tulou"]
    assert kind in {"exec", "oneshot"}
    assert values(path, "Restart") == (["always"] if kind == "exec" else [])
    if kind == "exec":
        assert values(path, "WantedBy") == ["multi-user.target"]


def test_stops_are_given_the_time_that_the_settings_promise() -> None:
    settings = Settings()
    needed = {"api": settings.shutdown_grace + 4} | {
        f"worker-{queue}": settings.worker_soft_shutdown for queue in ("default", "mail", "files")
    }
    for name, seconds in needed.items():
        (given,) = values(FOLDER / f"tulou-{name}.service", "TimeoutStopSec")
        assert int(given) > seconds


def test_children_that_grow_are_replaced_before_their_service_is_killed() -> None:
    settings = Settings()
    for path in FOLDER.glob("tulou-worker-*.service"):
        most = environment_of(path).get("TULOU_JOBS_CHILD_MEMORY_BYTES", settings.jobs_child_memory_bytes)
        (limit,) = values(path, "MemoryMax")
        bytes_allowed = int(limit[:-1]) << {"M": 20, "G": 30}[limit[-1]]
        assert settings.worker_concurrency * int(most) + (110 << 20) < bytes_allowed


@needs_systemd
def test_systemd_takes_the_units() -> None:
    units = [path.name for path in FOLDER.iterdir() if path.suffix in {".service", ".timer"}]
    said = analyze("verify", "--man=no", *units)
    complaints = (said.stdout + said.stderr).splitlines()
    # The program is where the units say only on a machine on which it is installed.
    ours = [line for line in complaints if not re.search(r"/opt/tulou/bin/tulou is not executable", line)]
    assert [line for line in ours if "tulou" in line] == []


@needs_systemd
@each_service
def test_systemd_finds_a_service_little_exposed(path: Path) -> None:
    said = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", path.name)
    assert said.returncode == 0, said.stdout[-2000:] + said.stderr
