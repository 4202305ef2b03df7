"""The doctor finds each ailment, which is caused here for real, and says how to mend it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from bootstrap.ailments import CHECKS
from bootstrap.compose import compose, start, stop
from bootstrap.container import TulouContainer
from bootstrap.doctor import Finding, examine
from bootstrap.embedded.valkey import EmbeddedValkey
from bootstrap.migrate import migrate
from bootstrap.settings import Settings
from domains.jobs.schemas import WorkerCard
from shared.clock import Clock
from tests.bootstrap.test_commands import run
from tests.installations import database_at, settings_of_its_own

NOWHERE = "127.0.0.1:9"
Examine = Callable[..., Awaitable[dict[str, Finding]]]


@asynccontextmanager
async def composed(settings: Settings) -> AsyncIterator[TulouContainer]:
    container = compose(settings, "command")
    await start(container)
    try:
        yield container
    finally:
        await stop(container)


async def examined(container: TulouContainer) -> dict[str, Finding]:
    return {finding.name: finding for finding in await examine(container)}


@pytest.fixture(scope="module")
async def installation(servers, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A database of its own, migrated, that no worker and no relay serves."""
    made = await settings_of_its_own(settings, servers.superuser_url, tmp_path_factory.mktemp("doctor"))
    await asyncio.to_thread(migrate, made)
    return made


@pytest.fixture
def examination(installation: Settings) -> Examine:
    """Examine the installation, with some settings changed."""

    async def look(**change: object) -> dict[str, Finding]:
        async with composed(installation.model_copy(update=change)) as container:
            return await examined(container)

    return look


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    tmp_path.chmod(0o755)
    server = EmbeddedValkey(tmp_path / "valkey")
    server.start()
    yield server
    server.stop()


async def test_only_workers_and_relay_are_missing_where_none_runs(examination: Examine) -> None:
    found = await examination()
    assert {name for name, finding in found.items() if finding.state == "ill"} == {"workers", "relay"}
    assert "default, files, mail" in found["workers"].finding
    assert "`tulou worker --queue mail`" in found["workers"].cure
    assert "`tulou relay`" in found["relay"].cure


async def test_a_database_that_is_away(examination: Examine) -> None:
    url = SecretStr(f"postgresql://nobody:x@{NOWHERE}/x")
    found = await examination(database_url=url, database_timeout=1)
    assert {found[name].state for name in ("database", "migrations", "workers", "relay")} == {"ill"}
    assert "Start PostgreSQL" in found["database"].cure
    assert found["redis"].state == "well"


async def test_a_role_with_too_many_rights(examination: Examine, installation: Settings, servers) -> None:
    production = {"env": "production"}
    assert (await examination(**production))["database role"].state == "well"
    owner = await examination(database_url=installation.database_owner_url, **production)
    assert owner["database role"].finding == "The application's role may create tables."
    superuser = SecretStr(servers.superuser_url)
    assert "superuser" in (await examination(database_url=superuser, **production))["database role"].finding
    assert "TULOU_DATABASE_OWNER_URL" in owner["database role"].cure


async def test_a_role_with_too_few_rights(examination: Examine, installation: Settings) -> None:
    assert installation.database_owner_url is not None
    owner = await asyncpg.connect(installation.database_owner_url.get_secret_value())
    try:
        await owner.execute("REVOKE DELETE ON files.files FROM tulou_app")
        found = (await examination())["database rights"]
        assert "files.files" in found.finding
        assert "tulou migrate" in found.cure
        await owner.execute("GRANT DELETE ON files.files TO tulou_app")
        assert (await examination())["database rights"].state == "well"
    finally:
        await owner.close()


async def test_a_role_that_may_change_the_audit_trail(examination: Examine, installation: Settings) -> None:
    assert installation.database_owner_url is not None
    owner = await asyncpg.connect(installation.database_owner_url.get_secret_value())
    try:
        await owner.execute("GRANT DELETE ON auth.security_events TO tulou_app")
        found = (await examination())["database rights"]
        assert "auth.security_events" in found.finding
        assert "tulou migrate" in found.cure
        await asyncio.to_thread(migrate, installation)
        assert (await examination())["database rights"].state == "well"
    finally:
        await owner.close()


async def test_a_database_that_is_not_up_to_date(examination: Examine, installation: Settings) -> None:
    assert installation.database_owner_url is not None
    owner = await asyncpg.connect(installation.database_owner_url.get_secret_value())
    current = await owner.fetchval("SELECT version_num FROM alembic_version")
    try:
        await owner.execute("UPDATE alembic_version SET version_num = 'of long ago'")
        assert (await examination())["migrations"].cure == "Run `tulou migrate`."
    finally:
        await owner.execute("UPDATE alembic_version SET version_num = $1", current)
        await owner.close()


async def test_an_index_that_was_not_built_to_its_end(
    examination: Examine, installation: Settings, servers
) -> None:
    assert installation.database_owner_url is not None
    owner_url = installation.database_owner_url.get_secret_value()
    owner = await asyncpg.connect(owner_url)
    superuser = await asyncpg.connect(database_at(servers.superuser_url, urlsplit(owner_url).path[1:]))
    try:
        assert (await examination())["indexes"].state == "well"
        await superuser.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'files.ix_texts_terms'::regclass"
        )
        found = (await examination())["indexes"]
        assert (found.state, "files.ix_texts_terms" in found.finding) == ("warning", True)
        assert "`tulou migrate`" in found.cure
        await owner.execute(found.cure.rpartition("as the owner: ")[2])
        assert (await examination())["indexes"].state == "well"
    finally:
        await superuser.close()
        await owner.close()


async def test_a_clock_that_is_wrong(installation: Settings) -> None:
    class Wrong(Clock):
        def now(self):
            return super().now() + timedelta(seconds=30)

    async with composed(installation) as container:
        container.clock.override(Wrong())
        found = (await examined(container))["clock"]
    assert found.state == "ill"
    assert "NTP" in found.cure


async def test_redis_that_is_away(examination: Examine) -> None:
    found = await examination(redis_url=SecretStr(f"redis://{NOWHERE}/0"))
    assert "Start Redis" in found["redis"].cure


async def test_redis_that_refuses_the_password(examination: Examine, valkey: EmbeddedValkey) -> None:
    wrong = valkey.url.replace(":", ":wrong", 2).replace(":wrong", ":", 1)
    assert (await examination(redis_url=SecretStr(wrong)))["redis"].state == "ill"


async def test_redis_that_drops_hints(examination: Examine, valkey: EmbeddedValkey) -> None:
    async with Redis.from_url(valkey.url) as redis:
        await redis.config_set("maxmemory-policy", "allkeys-lru")
    found = (await examination(redis_url=SecretStr(valkey.url)))["redis"]
    assert "allkeys-lru" in found.finding
    assert "noeviction" in found.cure


async def test_redis_whose_user_may_empty_it(examination: Examine, valkey: EmbeddedValkey) -> None:
    production = {"env": "production", "redis_url": SecretStr(valkey.url)}
    assert (await examination(redis_url=SecretStr(valkey.url)))["redis rights"].state == "well"
    found = (await examination(**production))["redis rights"]
    assert (found.state, "FLUSHALL" in found.finding) == ("warning", True)
    async with Redis.from_url(valkey.url) as redis:
        await redis.set("tulou:kept", "still here")
        await redis.execute_command("ACL", "SETUSER", "default", "-flushall")
        found = (await examination(**production))["redis rights"]
        assert found.state == "well"
        await redis.execute_command("ACL", "SETUSER", "default", "+flushall")
        await examination(**production)
        assert await redis.get("tulou:kept") == b"still here"


async def test_redis_that_takes_no_hints(examination: Examine, valkey: EmbeddedValkey) -> None:
    async with Redis.from_url(valkey.url) as redis:
        await redis.set("tulou:default", "no list")
        found = (await examination(redis_url=SecretStr(valkey.url)))["hints"]
        assert (found.state, "tulou:default" in found.finding) == ("warning", True)
        await redis.delete("tulou:default")
        assert (await examination(redis_url=SecretStr(valkey.url)))["hints"].state == "well"
        await redis.execute_command("REPLICAOF", "127.0.0.1", "9")
        found = (await examination(redis_url=SecretStr(valkey.url)))["hints"]
        assert (found.state, "ReadOnlyError" in found.finding) == ("warning", True)


async def test_redis_without_a_password(examination: Examine, valkey: EmbeddedValkey) -> None:
    production = {"env": "production"}
    assert (await examination(redis_url=SecretStr(valkey.url), **production))["redis"].state == "well"
    async with Redis.from_url(valkey.url) as redis:
        await redis.config_set("requirepass", "")
    found = (await examination(redis_url=SecretStr(valkey.url), **production))["redis"]
    assert found.finding == "Redis lets anybody in."


@pytest.mark.parametrize("where", [NOWHERE, "user:wrong@{}?starttls=off", "{}?starttls=required"])
async def test_a_mail_server_that_is_away_or_lets_us_not_in(
    where: str, examination: Examine, servers
) -> None:
    place = servers.catcher.url.removeprefix("smtp://").rstrip("/")
    found = (await examination(emails_smtp_url=SecretStr(f"smtp://{where.format(place)}")))["mail server"]
    assert found.state == "ill"
    assert "SMTP_URL" in found.cure


async def test_no_mail_server_at_all(examination: Examine) -> None:
    assert (await examination(emails_smtp_url=None))["mail server"].cure == "Set SMTP_URL."


async def test_a_store_that_takes_nothing(examination: Examine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = await examination(files_store_url=f"file://{tmp_path}/file/below")
    assert found["file store"].state == "ill"
    assert "TULOU_FILES_STORE_URL" in found["file store"].cure


async def test_a_disk_that_is_full_or_missing(examination: Examine, tmp_path: Path) -> None:
    full = (await examination(doctor_free_bytes=1 << 60))["disk"]
    assert "MiB left" in full.finding
    assert "Make room" in full.cure
    missing = await examination(data_dir=tmp_path / "none", files_store_url=f"file://{tmp_path}/store")
    assert "There is no folder" in missing["disk"].finding


async def test_workers_and_relays_that_live_drain_or_died(installation: Settings) -> None:
    async with composed(installation) as container:
        roster = container.jobs.roster()

        def card(name: str, queues: str, *, draining: bool = False) -> WorkerCard:
            return WorkerCard(id=name, host="h", pid=1, queues=queues, version="1", draining=draining)

        await roster.announce(card("a", "default,mail"))
        assert "No worker serves files." in (await examined(container))["workers"].finding
        await roster.announce(card("b", "files"))
        await roster.announce(card("c", ""))
        found = await examined(container)
        assert (found["workers"].state, found["relay"].state) == ("well", "well")
        await roster.announce(card("b", "files", draining=True))
        assert "files" in (await examined(container))["workers"].finding
        await _silence("a", installation)
        await _silence("c", installation)
        found = await examined(container)
        assert "default, files, mail" in found["workers"].finding
        assert "No relay is alive" in found["relay"].finding
        for name in "abc":
            await roster.leave(name)


async def _silence(name: str, installation: Settings) -> None:
    assert installation.database_owner_url is not None
    owner = await asyncpg.connect(installation.database_owner_url.get_secret_value())
    await owner.execute(
        "UPDATE jobs.workers SET heartbeat_at = now() - interval '1 minute' WHERE id = $1", name
    )
    await owner.close()


async def test_as_it_is_typed(servers, settings, programs, tmp_path: Path) -> None:
    own = await settings_of_its_own(settings, servers.superuser_url, tmp_path)
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
    ill = run(servers, "doctor", **there, SMTP_URL=f"smtp://{NOWHERE}")
    assert ill.returncode == 1
    assert "See to it that SMTP_URL" in ill.stdout
    assert "Traceback" not in ill.stderr
    for program in (worker, relay):
        program.stop()
