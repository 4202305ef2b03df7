"""The doctor names cause and remedy of each breakage, which the test causes for real."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.compose import compose, start, stop
from bootstrap.doctor.checks import CHECKS
from bootstrap.doctor.runner import run_checks
from bootstrap.migrations.runner import migrate
from bootstrap.settings.model import Settings
from tests.bootstrap.breakages import of_database, of_machine, of_servers
from tests.bootstrap.breakages.lab import BREAKAGES, NOWHERE, Breakage, Broken, Lab
from tests.bootstrap.test_commands import OURS, run
from tests.forked_commands import run_command
from tests.installations import isolated_settings
from tools.dev.valkey import EmbeddedValkey

ENTERED = (of_database, of_machine, of_servers)
NAMES = {check.name for check in CHECKS}


@pytest.fixture(scope="module")
async def installation(servers, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A database of its own, migrated, that no worker and no relay serves."""
    made = await isolated_settings(settings, servers.superuser_url, tmp_path_factory.mktemp("doctor"))
    await asyncio.to_thread(migrate, made)
    return made


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    folder = tmp_path_factory.mktemp("valkey")
    for parent in (folder, folder.parent):
        parent.chmod(0o755)
    server = EmbeddedValkey(folder / "valkey")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def lab(installation: Settings, servers, valkey, tmp_path: Path) -> Lab:
    return Lab(installation, servers, valkey, tmp_path)


async def found_by(lab: Lab, broken: Broken, names: set[str]) -> list[dict[str, str]]:
    """Ask the doctor for the lines of some checks."""
    if broken.environment is not None:
        return await asyncio.to_thread(typed, lab, broken)
    container = compose(lab.settings.model_copy(update=broken.settings), "command")
    if broken.clock is not None:
        container.clock.override(broken.clock)
    await start(container)
    try:
        checks = [check for check in CHECKS if check.name in names]
        return [vars(finding) for finding in await run_checks(container, checks)]
    finally:
        await stop(container)


def typed(lab: Lab, broken: Broken) -> list[dict[str, str]]:
    """Type the command, where only what it prints can be seen."""
    if broken.launch and not may_mount(broken.launch[:4]):
        pytest.skip("this machine lets no test mount a disk")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    environment = {**kept, **lab.servers.environment, **(broken.environment or {})}
    if broken.launch:
        command = [*broken.launch, sys.executable, "-m", "bootstrap.cli.main", "doctor", "--json"]
        said = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
    else:
        said = run_command("doctor", "--json", environment=environment)
    assert said.returncode == 1, said.stdout + said.stderr
    assert "Traceback" not in said.stderr
    checks: list[dict[str, str]] = json.loads(said.stdout)["checks"]
    return checks


def may_mount(launch: tuple[str, ...]) -> bool:
    probe = [*launch, "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.name)
async def test_the_doctor_names_cause_and_cure(breakage: Breakage, lab: Lab) -> None:
    async with breakage.breaks(lab) as broken:
        found = await found_by(lab, broken, {breakage.check})
    known = {"server": lab.server, "database": lab.database}
    about = [line for line in found if line["name"] == breakage.check]
    says = [part.format_map(known) for part in breakage.says]
    named = [line for line in about if all(part in line["finding"] for part in says)]
    assert named, about
    assert named[0]["state"] == breakage.state
    for part in breakage.cures:
        assert part.format_map(known) in named[0]["cure"]
    assert "See above" not in named[0]["cure"]


async def test_only_workers_and_relay_are_missing_where_none_runs(lab: Lab) -> None:
    found = await found_by(lab, Broken(), NAMES)
    assert {line["name"] for line in found if line["state"] != "well"} == {"workers", "relay"}
    assert {line["name"] for line in found} == NAMES


def test_there_are_breakages_of_every_check() -> None:
    # A sandbox that is missing is tested beside the sandbox itself.
    assert NAMES - {"sandbox"} <= {breakage.check for breakage in BREAKAGES}
    assert len(BREAKAGES) > 50


async def test_checks_are_asked_at_the_same_time(lab: Lab) -> None:
    """Three servers that say nothing take the patience of one."""
    async with of_database.silent_server() as where:
        changes = {
            **of_database.at(lab.database_url(netloc=f"x:x@{where}")).settings,
            **of_servers.redis_at(f"redis://{where}").settings,
            **of_servers.mail_at(f"smtp://{where}").settings,
            "doctor_patience": 1,
        }
        before = asyncio.get_running_loop().time()
        found = await found_by(lab, Broken(changes), NAMES - {"sandbox"})
        took = asyncio.get_running_loop().time() - before
    silent = [line for line in found if "not respond within 1 s" in line["finding"]]
    assert len(silent) > 10
    assert took < len(silent)


async def test_a_user_of_redis_without_rights_of_an_administrator(lab: Lab) -> None:
    async with of_servers.Redis.from_url(lab.valkey.url) as redis:
        await redis.execute_command("ACL", "SETUSER", "default", "-config")
        (line,) = await found_by(lab, of_servers.redis_at(lab.valkey.url, env="production"), {"redis rights"})
        await redis.execute_command("ACL", "SETUSER", "default", "+config")
    assert line["state"] == "well"


async def test_the_statement_for_an_invalid_index_rebuilds_it(lab: Lab) -> None:
    (breakage,) = [one for one in BREAKAGES if one.check == "indexes"]
    async with breakage.breaks(lab), lab.owner() as owner:
        (line,) = await found_by(lab, Broken(), {"indexes"})
        await owner.execute(line["cure"].rpartition("as the owner: ")[2])
        (line,) = await found_by(lab, Broken(), {"indexes"})
    assert line["state"] == "well"


async def test_as_it_is_typed(servers, settings, programs, tmp_path: Path) -> None:
    own = await isolated_settings(settings, servers.superuser_url, tmp_path)
    await asyncio.to_thread(migrate, own)
    await asyncio.to_thread(see_it_typed, servers, own, programs)


def see_it_typed(servers, own: Settings, programs) -> None:
    assert own.database_url is not None
    there = {"DATABASE_URL": own.database_url.get_secret_value(), "TULOU_DATA_DIR": str(own.data_dir)}
    worker = programs("worker", "--queue", "default", "--queue", "mail", "--queue", "files", **there)
    relay = programs("relay", **there)
    worker.wait_for("ready.")
    relay.wait_for("relay_started")
    well = run(servers, "doctor", "--json", **there)
    assert well.returncode == 0, well.stdout + well.stderr
    answer = json.loads(well.stdout)
    assert answer["well"] is True
    assert [check["name"] for check in answer["checks"]] == [check.name for check in CHECKS]
    warned = run(
        servers,
        "doctor",
        "--json",
        **there,
        TULOU_PUBLIC_URL="https://a.example",
        TULOU_TRUSTED_PROXIES="none",
    )
    assert warned.returncode == 3, warned.stdout + warned.stderr
    assert json.loads(warned.stdout)["well"] is False
    ill = run(servers, "doctor", **there, SMTP_URL=f"smtp://{NOWHERE}")
    assert ill.returncode == 1
    assert f"{NOWHERE}: nothing listens there" in " ".join(ill.stdout.split())
    assert "Traceback" not in ill.stderr
    for program in (worker, relay):
        program.stop()
