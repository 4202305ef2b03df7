"""Every response to random requests, valid or not, is one that the OpenAPI document describes."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bootstrap.migrations.runner import migrate
from tests.contract.tools import PROJECT
from tests.installations import isolated_settings, running
from tests.programs import Program, free_port
from tools.faults.people import PASSWORD

SHORT = """
[generation]
deterministic = true
max-examples = 6
[phases.stateful]
generation.max-examples = 40
"""
"""The same each time."""

LONG = """
[generation]
max-examples = 300
[phases.stateful]
max-steps = 12
generation.max-examples = 1500
"""
"""Something new each time: the output names the seed."""

RULES = Path(__file__).parent / "fuzzing" / "schemathesis.toml"

MANY = 41
"""Operations that are there at least: a run that tests nothing proves nothing."""

GENEROUS = {
    "TULOU_RATE_LIMIT": "10000000",
    "TULOU_AUTH_LOGIN_LIMIT": "10000",
    "TULOU_AUTH_NETWORK_LIMIT": "1000000",
    "TULOU_AUTH_MAIL_LIMIT": "10000",
    "TULOU_AUTH_MAIL_NETWORK_LIMIT": "1000000",
    "TULOU_AUTH_HASH_TIME_COST": "1",
    "TULOU_AUTH_HASH_MEMORY_KIB": "8",
}
"""Limits would hide what is behind them."""


@dataclass(frozen=True)
class Target:
    """An API on a database of its own, and its administrator."""

    url: str
    admin: str


@pytest.fixture(scope="module")
async def target(
    settings, servers, programs: Callable[..., Program], tmp_path_factory: pytest.TempPathFactory
) -> Target:
    own = await isolated_settings(settings, servers.superuser_url, tmp_path_factory.mktemp("fuzz"))
    await asyncio.to_thread(migrate, own)
    async with running(own) as installation:
        admin = await installation.people.administrator()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    api = programs(
        "serve",
        TULOU_PORT=str(port),
        TULOU_PUBLIC_URL=url,
        TULOU_DATA_DIR=str(own.data_dir),
        DATABASE_URL=own.database_url.get_secret_value(),
        **GENEROUS,
    )
    api.wait_until_it_answers(f"{url}/health/ready")
    return Target(url, admin.email)


as_each = pytest.mark.parametrize("caller", ["anonymous", "user", "admin"])


@pytest.mark.timeout(240)
@as_each
def test_the_document_promises_every_answer(caller: str, target: Target, tmp_path: Path) -> None:
    fuzz(caller, target, tmp_path, extent=SHORT)


@pytest.mark.long
@pytest.mark.timeout(3600)
@as_each
def test_the_document_promises_every_answer_of_many(caller: str, target: Target, tmp_path: Path) -> None:
    fuzz(caller, target, tmp_path, extent=LONG)


def fuzz(caller: str, target: Target, tmp_path: Path, *, extent: str) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(RULES.read_text() + extent)
    told = {
        "FUZZED_API": target.url,
        "FUZZED_AS": caller,
        "FUZZED_ADMIN": target.admin,
        "FUZZED_PASSWORD": PASSWORD,
    }
    finished = subprocess.run(
        [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "--config-file",
            config,
            "run",
            f"{target.url}/openapi.json",
        ],
        cwd=tmp_path,
        env={**os.environ, **told, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    tested = re.search(r"Tested: (\d+)", finished.stdout)
    assert int(tested[1] if tested else 0) >= MANY, finished.stdout
