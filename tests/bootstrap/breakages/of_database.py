"""Breakages of PostgreSQL: unavailable, refusing, or with another schema than this version needs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import urlsplit

from alembic.script import ScriptDirectory
from pydantic import SecretStr

from bootstrap.migrations.runner import FOLDER
from shared.clock import Clock
from tests.bootstrap.breakages.lab import NOWHERE, Broken, Lab, breakage
from tests.installations import database_at, new_database

MIGRATE = ("`tulou migrate`",)


def at(url: str) -> Broken:
    return Broken({"database_url": SecretStr(url), "database_timeout": 1})


@breakage("database", says=(NOWHERE, "ECONNREFUSED"), cures=("Start PostgreSQL", "TULOU_DATABASE_URL"))
async def closed_port(_lab: Lab) -> AsyncIterator[Broken]:
    yield at(f"postgresql://tulou:x@{NOWHERE}/x")


@breakage("workers", says=(NOWHERE, "ECONNREFUSED"), cures=("Start PostgreSQL", "TULOU_DATABASE_URL"))
async def closed_port_as_told_by_a_check_that_needs_the_database(_lab: Lab) -> AsyncIterator[Broken]:
    yield at(f"postgresql://tulou:x@{NOWHERE}/x")


@breakage("database", says=("nowhere.invalid:5432", "EAI_"), cures=("TULOU_DATABASE_URL",))
async def unknown_host(_lab: Lab) -> AsyncIterator[Broken]:
    yield at("postgresql://tulou:x@nowhere.invalid/x")


@breakage("database", says=("no.sock/.s", "ENOENT"), cures=("TULOU_DATABASE_URL",))
async def missing_socket(lab: Lab) -> AsyncIterator[Broken]:
    yield at(f"postgresql://tulou:x@/x?host={lab.folder}/no.sock/.s")


@breakage(
    "database", says=("{server}", "28P01", "tulou_app"), cures=("TULOU_DATABASE_URL", "ALTER ROLE tulou_app")
)
async def wrong_password(lab: Lab) -> AsyncIterator[Broken]:
    yield at(lab.database_url(netloc=f"tulou_app:wrong@{lab.server}"))


@breakage("database", says=("{server}", "3D000", "gone_away"), cures=("CREATE DATABASE gone_away",))
async def missing_database(lab: Lab) -> AsyncIterator[Broken]:
    yield at(lab.database_url(path="/gone_away"))


@breakage(
    "database", says=("{server}", "42501"), cures=("GRANT CONNECT ON DATABASE {database} TO tulou_app",)
)
async def role_that_may_not_connect(lab: Lab) -> AsyncIterator[Broken]:
    async with lab.superuser() as connection:
        await connection.execute(f"REVOKE CONNECT ON DATABASE {lab.database} FROM PUBLIC, tulou_app")
        try:
            yield Broken()
        finally:
            await connection.execute(f"GRANT CONNECT ON DATABASE {lab.database} TO PUBLIC, tulou_app")


@breakage("database", says=("{server}", "53300"), cures=("max_connections", "TULOU_DATABASE_POOL"))
async def no_connection_left(lab: Lab) -> AsyncIterator[Broken]:
    async with lab.superuser() as connection:
        await connection.execute(f"ALTER DATABASE {lab.database} CONNECTION LIMIT 0")
        try:
            yield Broken()
        finally:
            await connection.execute(f"ALTER DATABASE {lab.database} CONNECTION LIMIT -1")


@breakage("database", says=("{server}", "no TLS"), cures=("ssl = on", "sslmode"))
async def database_without_the_tls_that_is_asked_for(lab: Lab) -> AsyncIterator[Broken]:
    yield at(lab.database_url(query="sslmode=require"))


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """Accept connections, and say nothing."""
    gone = asyncio.Event()

    async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield f"{host}:{port}"
    finally:
        gone.set()
        server.close()


@breakage(
    "database", says=("127.0.0.1:", "0.5 s", "TULOU_DOCTOR_PATIENCE"), cures=("restart it if it hangs",)
)
async def database_that_says_nothing(lab: Lab) -> AsyncIterator[Broken]:
    async with silent_server() as where:
        url = lab.database_url(netloc=f"tulou_app:x@{where}")
        yield Broken({"database_url": SecretStr(url), "doctor_patience": 0.5})


@breakage("migrations", says=("42P01", "lacks tables"), cures=MIGRATE)
async def database_that_was_never_migrated(lab: Lab) -> AsyncIterator[Broken]:
    name = await new_database(lab.servers.superuser_url)
    yield Broken({"database_url": SecretStr(database_at(lab.url, name))})


async def _at_revision(lab: Lab, revision: str) -> AsyncIterator[Broken]:
    async with lab.owner() as owner:
        current = await owner.fetchval("SELECT version_num FROM alembic_version")
        await owner.execute("UPDATE alembic_version SET version_num = $1", revision)
        try:
            yield Broken()
        finally:
            await owner.execute("UPDATE alembic_version SET version_num = $1", current)


@breakage("migrations", says=("{database}", "lacks 1 migration"), cures=MIGRATE)
async def older_schema(lab: Lab) -> AsyncIterator[Broken]:
    head = ScriptDirectory(str(FOLDER)).get_revision("head")
    async for broken in _at_revision(lab, str(head.down_revision)):
        yield broken


@breakage(
    "migrations", says=("{database}", "of_the_future", "does not know"), cures=("Start the newer version",)
)
async def newer_schema(lab: Lab) -> AsyncIterator[Broken]:
    async for broken in _at_revision(lab, "of_the_future"):
        yield broken


@breakage(
    "database",
    says=("{server}", "takes no writes", "{database}"),
    cures=("RESET default_transaction_read_only",),
)
async def read_only_database(lab: Lab) -> AsyncIterator[Broken]:
    async with lab.superuser() as connection:
        await connection.execute(f"ALTER DATABASE {lab.database} SET default_transaction_read_only = on")
        try:
            yield Broken()
        finally:
            await connection.execute("SET default_transaction_read_only = off")
            await connection.execute(f"ALTER DATABASE {lab.database} RESET default_transaction_read_only")


@breakage("database role", says=("tulou_owner", "may create tables"), cures=("TULOU_DATABASE_OWNER_URL",))
async def owner_as_the_role_of_the_application(lab: Lab) -> AsyncIterator[Broken]:
    yield Broken({"env": "production", "database_url": lab.settings.database_owner_url})


@breakage("database role", says=("is a superuser",), cures=("TULOU_DATABASE_OWNER_URL",))
async def superuser_as_the_role_of_the_application(lab: Lab) -> AsyncIterator[Broken]:
    url = database_at(lab.servers.superuser_url, lab.database)
    yield Broken({"env": "production", "database_url": SecretStr(url)})


@breakage("database rights", says=("tulou_app", "files.files"), cures=MIGRATE)
async def missing_right(lab: Lab) -> AsyncIterator[Broken]:
    async with lab.owner() as owner:
        await owner.execute("REVOKE DELETE ON files.files FROM tulou_app")
        try:
            yield Broken()
        finally:
            await owner.execute("GRANT DELETE ON files.files TO tulou_app")


@breakage("database rights", says=("auth.security_events",), cures=MIGRATE)
async def right_to_change_the_audit_log(lab: Lab) -> AsyncIterator[Broken]:
    async with lab.owner() as owner:
        await owner.execute("GRANT DELETE ON auth.security_events TO tulou_app")
        try:
            yield Broken()
        finally:
            await owner.execute("REVOKE DELETE ON auth.security_events FROM tulou_app")


@breakage(
    "indexes", says=("files.ix_texts_terms",), cures=(*MIGRATE, "REINDEX INDEX CONCURRENTLY"), state="warning"
)
async def invalid_index(lab: Lab) -> AsyncIterator[Broken]:
    change = "UPDATE pg_index SET indisvalid = {} WHERE indexrelid = 'files.ix_texts_terms'::regclass"
    async with lab.superuser() as connection:
        await connection.execute(change.format("false"))
        try:
            yield Broken()
        finally:
            await connection.execute(change.format("true"))


@breakage("connections", says=("{server}", "400"), cures=("max_connections", "TULOU_DATABASE_POOL"))
async def pools_larger_than_max_connections(_lab: Lab) -> AsyncIterator[Broken]:
    yield Broken({"database_pool": 400})


@breakage("connections", says=("{server}", "320", "10 API"), cures=("TULOU_DOCTOR_API_PROCESSES",))
async def more_apis_than_max_connections_allows(_lab: Lab) -> AsyncIterator[Broken]:
    yield Broken({"doctor_api_processes": 10})


@breakage("clock", says=("127.0.0.1", "differ by"), cures=("NTP",))
async def clock_that_is_wrong(lab: Lab) -> AsyncIterator[Broken]:
    class Wrong(Clock):
        def now(self):
            return super().now() + timedelta(seconds=30)

    assert urlsplit(lab.url).hostname == "127.0.0.1"
    yield Broken(clock=Wrong())
