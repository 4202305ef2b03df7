"""A database that can't be used: each state over HTTP, and recovery without a restart."""

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg
import httpx
import pytest

from bootstrap.migrations.lineage import our_history
from shared.ids import new_id
from tests.installations import database_at
from tests.programs import Program, free_port, tulou
from tests.secrecy import SECRECY
from tools.dev.postgres import APPLICATION, DATABASE, OWNER, EmbeddedPostgres
from tools.faults.people import PASSWORD, People, Person, some_email

RECOVERED_WITHIN = 5.0
QUICK_LOOK = {"TULOU_DATABASE_TIMEOUT": "3", "TULOU_RATE_LIMIT": "0"}
OLDEST = our_history().revisions[0]


@dataclass(frozen=True)
class Place:
    """A server of its own, and an API on it."""

    postgres: EmbeddedPostgres
    api: Program
    url: str

    async def execute(self, *statements: str, database: str = DATABASE) -> None:
        """Run statements as the superuser, each in a transaction of its own."""
        connection = await asyncpg.connect(database_at(self.postgres.superuser_url, database))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()


def ended(command: str, environment: dict[str, str]) -> int:
    """Run a command to its end; return its exit code."""
    program = tulou(command, environment=environment)
    try:
        return program.process.wait(60)
    finally:
        program.stop()


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="tulou-outages-"))
    folder.chmod(0o755)
    postgres = EmbeddedPostgres(folder / "postgres", port=free_port(), durable=False)
    try:
        postgres.start()
        yield postgres
    finally:
        postgres.destroy()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def environment(servers, settings, server: EmbeddedPostgres) -> dict[str, str]:
    found = servers.environment | {
        "DATABASE_URL": server.url,
        "TULOU_DATABASE_OWNER_URL": server.owner_url,
        **QUICK_LOOK,
    }
    SECRECY.learn_environment(found)
    return found


@pytest.fixture(scope="module")
async def place(server: EmbeddedPostgres, environment: dict[str, str]) -> AsyncIterator[Place]:
    assert await asyncio.to_thread(ended, "migrate", environment) == 0
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    api = tulou("serve", environment=environment | {"TULOU_PORT": str(port), "TULOU_PUBLIC_URL": url})
    try:
        await asyncio.to_thread(api.wait_until_it_answers, f"{url}/health/ready")
        yield Place(server, api, url)
    finally:
        api.stop()


@pytest.fixture(scope="module")
async def client(place: Place) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=place.url, timeout=20) as made:
        yield made


@pytest.fixture(scope="module")
async def person(client: httpx.AsyncClient) -> Person:
    return await People(client, None).register()


async def asked(client: httpx.AsyncClient, person: Person) -> dict[str, httpx.Response]:
    """Read, write in a transaction, and write in one that spans the request."""
    form = {"grant_type": "password", "username": person.email, "password": person.password}
    key = {"Idempotency-Key": f'"{new_id()}"'}
    read, write, whole = await asyncio.gather(
        client.get("/v1/users/me", headers=person.headers),
        client.post("/v1/auth/token", data=form),
        client.patch("/v1/users/me", json={"name": "Ada"}, headers=person.headers | key),
    )
    return {"read": read, "write": write, "whole": whole}


async def until_ready_says(client: httpx.AsyncClient, state: str, *, seconds: float = 10) -> httpx.Response:
    """Ask until the database is in this state."""
    until = time.monotonic() + seconds
    while True:
        answer = await client.get("/health/ready")
        if answer.json()["checks"]["database"] == state:
            return answer
        assert time.monotonic() < until, answer.text
        await asyncio.sleep(0.1)


async def until_all_succeed(client: httpx.AsyncClient, person: Person) -> None:
    """Ask until every request succeeds; that must not take long."""
    until = time.monotonic() + RECOVERED_WITHIN
    while True:
        answers = await asked(client, person)
        if all(answer.is_success for answer in answers.values()):
            return
        assert time.monotonic() < until, {name: answer.text for name, answer in answers.items()}
        await asyncio.sleep(0.1)


def is_outage(answer: httpx.Response) -> bool:
    """Tell whether an answer is the one that clients know to come back from."""
    return (
        answer.status_code == 503
        and answer.headers["Content-Type"] == "application/problem+json"
        and answer.json()["code"] == "database_unavailable"
        and answer.headers["Retry-After"] == "2"
    )


END_SESSIONS = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{APPLICATION}'"
END_ALL = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{DATABASE}'"
RELOAD = "SELECT pg_reload_conf()"
HIDE = "ALTER TABLE users.users RENAME TO hidden"
SHOW = "ALTER TABLE users.hidden RENAME TO users"


@dataclass(frozen=True)
class Cause:
    """What makes a database unusable, and what ends it. `{password}` is the application's own."""

    id: str
    state: str
    begin: tuple[str, ...]
    end: tuple[str, ...]
    database: str = "postgres"
    reads_fail: bool = True


CAUSES = [
    Cause(
        "the password was rotated",
        "refused",
        (f"ALTER ROLE {APPLICATION} PASSWORD 'another'", END_SESSIONS),
        (f"ALTER ROLE {APPLICATION} PASSWORD '{{password}}'",),
    ),
    Cause(
        "the role may not log in",
        "refused",
        (f"ALTER ROLE {APPLICATION} NOLOGIN", END_SESSIONS),
        (f"ALTER ROLE {APPLICATION} LOGIN",),
    ),
    Cause(
        "the database has another name",
        "no_database",
        (END_ALL, f"ALTER DATABASE {DATABASE} RENAME TO elsewhere"),
        (f"ALTER DATABASE elsewhere RENAME TO {DATABASE}",),
    ),
    Cause(
        "the database takes no connections",
        "down",
        (f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS false", END_ALL),
        (f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS true",),
    ),
    Cause(
        "the role may not connect",
        "no_rights",
        (f"REVOKE CONNECT ON DATABASE {DATABASE} FROM {APPLICATION}", END_SESSIONS),
        (f"GRANT CONNECT ON DATABASE {DATABASE} TO {APPLICATION}",),
    ),
    Cause(
        "the role may not use a schema",
        "no_rights",
        (f"REVOKE USAGE ON SCHEMA users FROM {APPLICATION}",),
        (f"GRANT USAGE ON SCHEMA users TO {APPLICATION}",),
        DATABASE,
    ),
    Cause(
        "the role may not see the migrations, nor change users",
        "no_rights",
        (
            f"REVOKE SELECT ON alembic_version FROM {APPLICATION}",
            f"REVOKE SELECT, UPDATE ON users.users FROM {APPLICATION}",
        ),
        (
            f"GRANT SELECT ON alembic_version TO {APPLICATION}",
            f"GRANT SELECT, UPDATE ON users.users TO {APPLICATION}",
        ),
        DATABASE,
    ),
    Cause(
        "the role has no connection left",
        "exhausted",
        (f"ALTER ROLE {APPLICATION} CONNECTION LIMIT 0", END_SESSIONS),
        (f"ALTER ROLE {APPLICATION} CONNECTION LIMIT -1",),
    ),
    Cause(
        "the server is read-only",
        "read_only",
        ("ALTER SYSTEM SET default_transaction_read_only = on", RELOAD),
        ("ALTER SYSTEM RESET default_transaction_read_only", RELOAD),
        reads_fail=False,
    ),
    Cause(
        "connections that are open stay read-only",
        "read_only",
        (f"ALTER ROLE {APPLICATION} SET default_transaction_read_only = on", END_SESSIONS),
        (f"ALTER ROLE {APPLICATION} RESET default_transaction_read_only",),
        reads_fail=False,
    ),
    Cause(
        "the database lacks migrations",
        "not_migrated",
        (f"UPDATE alembic_version SET version_num = '{OLDEST}'", HIDE),
        (f"UPDATE alembic_version SET version_num = '{our_history().head}'", SHOW),
        DATABASE,
    ),
    Cause(
        "the database was never migrated",
        "not_migrated",
        ("ALTER TABLE alembic_version RENAME TO hidden_version", HIDE),
        ("ALTER TABLE hidden_version RENAME TO alembic_version", SHOW),
        DATABASE,
    ),
    Cause(
        "the database is too new",
        "too_new",
        ("UPDATE alembic_version SET version_num = 'feedfeedfeed'", HIDE),
        (f"UPDATE alembic_version SET version_num = '{our_history().head}'", SHOW),
        DATABASE,
    ),
]


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.id)
async def test_an_unusable_database_is_503_with_its_reason_and_ends_by_itself(
    cause: Cause, place: Place, client: httpx.AsyncClient, person: Person
) -> None:
    password = unquote(urlsplit(place.postgres.url).password or "")
    await until_all_succeed(client, person)
    before = len(place.api.output)
    await place.execute(*cause.begin, database=cause.database)
    try:
        ready = await until_ready_says(client, cause.state)
        assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
        assert ready.headers["Retry-After"] == "2"
        assert (await client.get("/health/live")).status_code == 200
        for _ in range(5):
            answers = await asked(client, person)
            read = answers.pop("read")
            assert is_outage(read) or not (cause.reads_fail or read.status_code != 200), read.text
            assert all(is_outage(answer) for answer in answers.values()), answers
    finally:
        await place.execute(
            *(statement.format(password=password) for statement in cause.end), database=cause.database
        )
    await until_all_succeed(client, person)
    await until_ready_says(client, "ok", seconds=RECOVERED_WITHIN)
    said = [json.loads(line) for line in place.api.output[before:].splitlines() if line.startswith("{")]
    assert not [line for line in said if line["event"] == "unexpected_error" or "exception" in line]
    told = [line for line in said if line["event"] == "database_unavailable"]
    assert len(told) <= 3, told
    (changed, *_) = [line for line in said if line["event"] == "readiness_changed"]
    assert changed["database"] in {cause.state, "down"}


@pytest.fixture
async def fail(place: Place) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """Let PostgreSQL refuse changes of users with a SQLSTATE that can't be caused here."""

    async def begin(state: str) -> None:
        await place.execute(
            "CREATE OR REPLACE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION 'as if' USING ERRCODE = '{state}'; END $$",
            "CREATE TRIGGER fail BEFORE UPDATE ON users.users EXECUTE FUNCTION public.fail()",
        )

    yield begin
    await place.execute("DROP TRIGGER fail ON users.users")


@pytest.mark.parametrize(
    "state", ["53100", "53200", "53400", "08006", "57P02", "57P04", "58030", "25006", "28000", "3D000"]
)
async def test_each_sqlstate_of_a_server_in_trouble_is_503(
    state: str, fail, client: httpx.AsyncClient, person: Person
) -> None:
    await fail(state)
    key = {"Idempotency-Key": f'"{new_id()}"'}
    for more in ({}, key):
        answer = await client.patch("/v1/users/me", json={"name": state}, headers=person.headers | more)
        assert is_outage(answer), answer.text


async def test_what_is_missing_in_a_migrated_database_is_a_mistake_of_the_program(
    fail, client: httpx.AsyncClient, person: Person
) -> None:
    await fail("42P01")
    answer = await client.patch("/v1/users/me", json={"name": "of no row"}, headers=person.headers)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")


async def test_an_api_that_starts_before_the_first_migration_waits_for_it(
    place: Place, environment: dict[str, str]
) -> None:
    await place.execute(
        f"CREATE DATABASE young OWNER {OWNER}", f"GRANT CONNECT ON DATABASE young TO {APPLICATION}"
    )
    port = free_port()
    own = environment | {
        "DATABASE_URL": database_at(place.postgres.url, "young"),
        "TULOU_DATABASE_OWNER_URL": database_at(place.postgres.owner_url, "young"),
        "TULOU_PORT": str(port),
        "TULOU_PUBLIC_URL": f"http://127.0.0.1:{port}",
    }
    api = tulou("serve", environment=own)
    try:
        async with httpx.AsyncClient(base_url=own["TULOU_PUBLIC_URL"], timeout=20) as client:
            await asyncio.to_thread(api.wait_until_it_answers, f"{own['TULOU_PUBLIC_URL']}/health/live")
            assert (await until_ready_says(client, "not_migrated")).status_code == 503
            body = {"email": some_email(), "password": PASSWORD}
            assert is_outage(await client.post("/v1/auth/register", json=body))
            assert await asyncio.to_thread(ended, "migrate", own) == 0
            assert (await until_ready_says(client, "ok", seconds=RECOVERED_WITHIN)).status_code == 200
            await People(client, None).register()
        assert "Traceback" not in api.output
    finally:
        api.stop()
