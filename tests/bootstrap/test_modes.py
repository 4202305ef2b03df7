"""Modes over HTTP and with a worker: refused and allowed operations, propagation, and an unavailable database."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from typer.testing import CliRunner

from bootstrap.cli.modes import mode as mode_commands
from bootstrap.compose import compose, start, stop
from bootstrap.migrations.runner import migrate
from bootstrap.settings.model import Settings
from domains.modes.public import Mode
from shared.audit import Actor
from tests.bootstrap.test_commands import run
from tests.installations import Installation, database_at, isolated_settings, running

QUICKLY = {"mode_interval": 0.05, "database_timeout": 1}
MESSAGE = "We move to a larger disk."
PROBES = ("/health/live", "/health/ready", "/metrics")


@pytest.fixture(scope="module")
async def own(servers, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    made = await isolated_settings(
        settings, servers.superuser_url, tmp_path_factory.mktemp("modes"), **QUICKLY
    )
    await asyncio.to_thread(migrate, made)
    return made


@pytest.fixture
async def api(own: Settings) -> AsyncIterator[Installation]:
    async with running(own) as installation:
        yield installation
    await forget(own)


async def forget(own: Settings) -> None:
    """Let operators have set nothing."""
    assert own.database_owner_url is not None
    owner = await asyncpg.connect(own.database_owner_url.get_secret_value())
    await owner.execute("DELETE FROM modes.modes")
    await owner.close()


async def typed(servers, own: Settings, *arguments: str, **environment: str) -> Any:
    """Type `tulou mode ...` beside the installation."""
    assert own.database_url is not None
    there = {"DATABASE_URL": own.database_url.get_secret_value(), **environment}
    return await asyncio.to_thread(run, servers, "mode", *arguments, **there)


async def set_mode(
    own: Settings, mode: Mode, *, message: str | None = None, lasts: timedelta | None = None
) -> None:
    """Set the mode as the command does, without the time that a process takes to start."""
    container = compose(own, "command")
    await start(container)
    await container.modes.service().change(mode, Actor(operator="ann@desk"), message=message, lasts=lasts)
    await stop(container)


async def acts(own: Settings) -> list[str]:
    """Return the modes in the audit log, each of which has an operator."""
    assert own.database_owner_url is not None
    owner = await asyncpg.connect(own.database_owner_url.get_secret_value())
    rows = await owner.fetch(
        "SELECT details FROM auth.security_events WHERE event = 'mode_changed' ORDER BY id"
    )
    await owner.close()
    found = [json.loads(row["details"]) for row in rows]
    assert all("@" in each["operator"] for each in found)
    return [each["mode"] for each in found]


async def until(holds: Callable[[], Awaitable[bool]], *, seconds: float = 30) -> None:
    end = asyncio.get_running_loop().time() + seconds
    while not await holds():
        assert asyncio.get_running_loop().time() < end, "never came true"
        await asyncio.sleep(0.05)


async def follows(api: Installation, mode: str) -> None:
    """Wait until the process follows."""

    async def says() -> bool:
        return f'tulou_mode{{mode="{mode}"}} 1.0' in (await api.client.get("/metrics")).text

    await until(says)


async def signs_in(client: httpx.AsyncClient) -> httpx.Response:
    form = {"grant_type": "password", "username": "ann@example.com", "password": "x"}
    return await client.post("/v1/auth/token", data=form)


def is_refused(answer: httpx.Response, code: str, detail: str | None = None) -> None:
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (503, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    if detail is not None:
        assert problem["detail"] == detail


async def test_read_only_takes_reads_and_refuses_the_rest(servers, own: Settings, api: Installation) -> None:
    user = await api.people.register()
    said = await typed(servers, own, "set", "read-only", "--message", MESSAGE, "--until", "2h")
    assert (said.returncode, MESSAGE in said.stdout) == (0, True), said.stderr
    await follows(api, "read-only")
    assert (await acts(own))[-1] == "read-only"
    for path in ("/v1/users/me", "/v1/files", "/v1/jobs", "/v1/auth/sessions"):
        assert (await api.client.get(path, headers=user.headers)).status_code == 200
        assert (await api.client.head(path, headers=user.headers)).status_code == 200
    for method, path in (("POST", "/v1/files"), ("PATCH", "/v1/users/me"), ("DELETE", "/v1/users/me")):
        answer = await api.client.request(method, path, headers=user.headers)
        is_refused(answer, "server.read_only", MESSAGE)
        assert 7100 < int(answer.headers["retry-after"]) <= 7200
    is_refused(await signs_in(api.client), "server.read_only", MESSAGE)
    for probe in PROBES:
        assert (await api.client.get(probe)).status_code == 200
    await set_mode(own, Mode.NORMAL)
    await follows(api, "normal")
    changed = await api.client.patch("/v1/users/me", headers=user.headers, json={})
    assert changed.status_code != 503


async def test_maintenance_refuses_everything_but_probes(servers, own: Settings, api: Installation) -> None:
    user = await api.people.register()
    await set_mode(own, Mode.MAINTENANCE)
    await follows(api, "maintenance")
    for path in ("/v1/users/me", "/openapi.json", "/nowhere"):
        answer = await api.client.get(path, headers=user.headers)
        is_refused(answer, "server.maintenance")
        assert answer.headers["retry-after"] == "60"
    is_refused(await signs_in(api.client), "server.maintenance")
    for probe in PROBES:
        assert (await api.client.get(probe)).status_code == 200
    assert (await api.client.get("/health/ready")).json()["checks"]["database"] == "ok"


@pytest.mark.parametrize(
    ("here", "stored", "in_force"),
    [
        ("maintenance", "read-only", "maintenance"),
        ("read-only", "normal", "read-only"),
        ("read-only", "maintenance", "maintenance"),
    ],
)
async def test_the_stricter_of_setting_and_command_applies(
    servers, own: Settings, here: str, stored: str, in_force: str
) -> None:
    async with running(own.model_copy(update={"mode": here})) as api:
        await set_mode(own, Mode(stored))
        await follows(api, in_force)
        for mode in {"normal", "read-only", "maintenance"} - {in_force}:
            assert f'tulou_mode{{mode="{mode}"}} 0.0' in (await api.client.get("/metrics")).text
        is_refused(await signs_in(api.client), f"server.{in_force.replace('-', '_')}")
    await forget(own)


async def test_a_process_knows_the_mode_before_its_first_request(own: Settings) -> None:
    await set_mode(own, Mode.MAINTENANCE, message=MESSAGE)
    try:
        async with running(own) as api:
            is_refused(await api.client.get("/v1/users/me"), "server.maintenance", MESSAGE)
    finally:
        await forget(own)


async def test_a_mode_whose_end_is_over_stays_until_it_is_set_again(
    servers, own: Settings, api: Installation
):
    await set_mode(own, Mode.READ_ONLY, lasts=timedelta(seconds=1))
    await follows(api, "read-only")
    await asyncio.sleep(1.2)
    answer = await signs_in(api.client)
    is_refused(answer, "server.read_only")
    assert answer.headers["retry-after"] == "60"


async def test_what_is_shown(servers, own: Settings) -> None:
    await set_mode(own, Mode.READ_ONLY, message=MESSAGE, lasts=timedelta(hours=2))
    shown = await typed(servers, own, "show", TULOU_MODE="maintenance")
    for part in ("read-only", MESSAGE, "TULOU_MODE=maintenance", "TULOU_MODE_INTERVAL"):
        assert part in shown.stdout
    told = json.loads((await typed(servers, own, "show", "--json")).stdout)
    assert (told["mode"], told["message"], told["setting"]) == ("read-only", MESSAGE, "normal")
    await forget(own)


@pytest.mark.parametrize(
    "arguments",
    [
        ("closed",),
        ("read-only", "--until", "soon"),
        ("read-only", "--message", "two\nlines"),
        ("read-only", "--message", "x" * 301),
        ("read-only", "--message", " "),
    ],
)
def test_mistyped_commands_are_refused(arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(mode_commands, ["set", *arguments]).exit_code == 2


@asynccontextmanager
async def altered(servers, own: Settings, change: str, back: str) -> AsyncIterator[None]:
    """Alter the database, and end its connections so that it holds for all."""
    assert own.database_url is not None
    name = own.database_url.get_secret_value().rpartition("/")[2]
    connection = await asyncpg.connect(database_at(servers.superuser_url, "postgres"))
    ends = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    try:
        for statement in (f"ALTER DATABASE {name} {change}", ends):
            await connection.execute(statement)
        yield
    finally:
        for statement in (f"ALTER DATABASE {name} {back}", ends):
            await connection.execute(statement)
        await connection.close()


async def test_reads_work_while_postgresql_itself_is_read_only(servers, own: Settings, caplog) -> None:
    read_only = "SET default_transaction_read_only = on", "RESET default_transaction_read_only"
    async with running(own) as api:
        user = await api.people.register()
    async with (
        running(own.model_copy(update={"mode": "read-only"})) as api,
        altered(servers, own, *read_only),
    ):

        async def reads() -> bool:
            return (await api.client.get("/v1/users/me", headers=user.headers)).status_code == 200

        await until(reads)
        for path in ("/v1/users/me", "/v1/files", "/v1/jobs", "/v1/auth/sessions", "/v1/files/usage"):
            assert (await api.client.get(path, headers=user.headers)).status_code == 200
        is_refused(await signs_in(api.client), "server.read_only")
        assert "unexpected_error" not in caplog.text
        said = await typed(servers, own, "set", "normal")
        assert (said.returncode, "TULOU_MODE" in said.stderr, "Traceback" in said.stderr) == (1, True, False)


async def test_the_last_known_mode_holds_while_the_database_is_away(
    servers, own: Settings, api: Installation
) -> None:
    await set_mode(own, Mode.READ_ONLY, message=MESSAGE)
    await follows(api, "read-only")
    async with altered(servers, own, "ALLOW_CONNECTIONS false", "ALLOW_CONNECTIONS true"):
        modes = api.container.modes.service()
        for _ in range(3):
            await asyncio.sleep(2 * own.mode_interval)
            await modes.refresh_once()
            is_refused(await signs_in(api.client), "server.read_only", MESSAGE)
        said = await typed(servers, own, "show")
        assert (said.returncode, "Traceback" in said.stderr) == (1, False)


async def test_workers_begin_no_job_until_the_mode_is_normal(servers, own: Settings, programs) -> None:
    assert own.database_url is not None
    there = {
        "DATABASE_URL": own.database_url.get_secret_value(),
        "TULOU_DATA_DIR": str(own.data_dir),
        "TULOU_MODE_INTERVAL": "0.1",
        "TULOU_JOBS_LOOK_INTERVAL": "1",
    }
    await set_mode(own, Mode.READ_ONLY)
    worker = programs("worker", "--queue", "default", "--queue", "files", **there)
    await asyncio.to_thread(worker.wait_for, "ready.")
    begun = await asyncio.to_thread(run, servers, "jobs", "run", "files.sweep", "--json", **there)
    assert begun.returncode == 0, begun.stderr
    job = (
        json.loads(begun.stdout)["id"] if begun.stdout.startswith("{") else json.loads(begun.stdout)[0]["id"]
    )

    async def state() -> str:
        owner = await asyncpg.connect(own.database_url.get_secret_value() if own.database_url else "")
        try:
            return str(await owner.fetchval("SELECT state FROM jobs.jobs WHERE id = $1", job))
        finally:
            await owner.close()

    for _ in range(20):
        await asyncio.sleep(0.1)
        assert await state() == "queued"
    await set_mode(own, Mode.NORMAL)

    async def is_done() -> bool:
        return await state() == "succeeded"

    await until(is_done)
    await asyncio.to_thread(worker.stop)
    await forget(own)


async def test_the_document_lists_what_a_mode_answers(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            examples = (
                operation["responses"].get("503", {}).get("content", {}).get("application/problem+json", {})
            )
            codes = set(examples.get("examples", {}))
            assert ("server.maintenance" in codes) is (not path.startswith("/health/"))
            assert ("server.read_only" in codes) is (method not in {"get", "head"} and "/health/" not in path)
