"""/metrics reports backups, disks, mails and attacks of an installation that the test makes."""

import asyncio
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr

from bootstrap.backup.recording import record
from bootstrap.migrations.runner import migrate
from bootstrap.observability.disks import folders_of
from tests.bootstrap.test_commands import run
from tests.bootstrap.test_metrics import samples
from tests.installations import Installation, database_at, isolated_settings, running


@pytest.fixture
async def own(settings, servers, tmp_path):
    """Settings of a database and a data folder of its own."""
    made = await isolated_settings(settings, servers.superuser_url, tmp_path / "data")
    await asyncio.to_thread(migrate, made)
    return made


async def found_at(installation: Installation) -> dict[tuple[str, ...], float]:
    return samples((await installation.client.get("/metrics")).text)


@pytest.fixture
def backed_up(servers, own, tmp_path):
    """Take a backup as an operator does; return what the command said."""

    def back_up() -> subprocess.CompletedProcess[str]:
        places = {
            "DATABASE_URL": own.database_url.get_secret_value(),
            "TULOU_DATABASE_OWNER_URL": own.database_owner_url.get_secret_value(),
            "TULOU_DATA_DIR": str(own.data_dir),
        }
        return run(servers, "backup", str(tmp_path / "backup"), **places)

    return back_up


async def test_the_age_of_the_last_backup(own, backed_up) -> None:
    async with running(own) as installation:
        assert ("tulou_backup_age_seconds",) not in await found_at(installation)
    taken = await asyncio.to_thread(backed_up)
    assert taken.returncode == 0, taken.stderr
    async with running(own) as installation:
        assert 0 <= (await found_at(installation))["tulou_backup_age_seconds",] < 600
    await record(own, datetime.now(UTC) - timedelta(days=3))
    async with running(own) as installation:
        found = await found_at(installation)
    assert found["tulou_backup_age_seconds",] == pytest.approx(3 * 86_400, abs=600)


async def test_a_comment_of_somebody_else_is_no_backup(own) -> None:
    connection = await asyncpg.connect(own.database_owner_url.get_secret_value())
    for comment in ("a note", "The last whole backup was taken at noon"):
        await connection.execute(f"COMMENT ON COLUMN alembic_version.version_num IS '{comment}'")
        async with running(own) as installation:
            assert ("tulou_backup_age_seconds",) not in await found_at(installation)
    await connection.close()


async def test_a_backup_that_cannot_be_recorded_is_whole_all_the_same(own, servers, backed_up) -> None:
    name = urlsplit(own.database_owner_url.get_secret_value()).path.lstrip("/")
    connection = await asyncpg.connect(database_at(servers.superuser_url, name))
    await connection.execute(
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE EXCEPTION 'no comments here'; END $$"
    )
    await connection.execute(
        "CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('COMMENT') EXECUTE FUNCTION refuse()"
    )
    await connection.close()
    taken = await asyncio.to_thread(backed_up)
    assert taken.returncode == 0, taken.stderr
    assert "no comments here" in taken.stderr


async def test_room_on_disks(own, tmp_path) -> None:
    (tmp_path / "store").mkdir()
    places = {"files_store_url": f"file://{tmp_path / 'store'}", "database_volume": tmp_path}
    async with running(own.model_copy(update=places)) as installation:
        found = await found_at(installation)
    usage = shutil.disk_usage(tmp_path)
    for disk in ("data", "store", "database"):
        assert found["tulou_disk_size_bytes", disk] == usage.total
        assert 0 < found["tulou_disk_free_bytes", disk] <= usage.total


async def test_a_folder_that_is_not_there_has_no_room(own) -> None:
    assert folders_of(own) == {"data": own.data_dir}
    escaped = own.model_copy(update={"files_store_url": "file:///mnt/all%20files"})
    assert folders_of(escaped) == {"data": own.data_dir, "store": Path("/mnt/all files")}
    async with running(own.model_copy(update={"database_volume": Path("/nowhere/at/all")})) as installation:
        found = await found_at(installation)
    assert ("tulou_disk_free_bytes", "database") not in found
    assert found["tulou_metrics_up", "disks"] == 1


async def test_the_connections_and_the_size_of_postgresql(own) -> None:
    async with running(own) as installation:
        found = await found_at(installation)
    assert 1 <= found["tulou_postgres_connections",] < found["tulou_postgres_connections_limit",]
    assert found["tulou_postgres_bytes",] > 1 << 20


async def test_mails_that_wait_grow_old(own, servers) -> None:
    away = own.model_copy(update={"emails_smtp_url": SecretStr("smtp://127.0.0.1:9?starttls=off")})
    async with running(away) as installation:
        assert (await found_at(installation))["tulou_mails_oldest_seconds", "queued"] == 0
        await installation.people.register()
        await installation.work_off()
        connection = await asyncpg.connect(own.database_owner_url.get_secret_value())
        assert await connection.fetchval("SELECT count(*) FROM emails.emails WHERE status = 'queued'")
        await connection.execute("UPDATE emails.emails SET created_at = created_at - interval '20 minutes'")
        await connection.close()
    async with running(away) as installation:
        assert (await found_at(installation))["tulou_mails_oldest_seconds", "queued"] >= 1200


async def test_failed_and_refused_sign_ins_are_counted(own) -> None:
    async with running(own.model_copy(update={"auth_login_limit": 3})) as installation:
        person = await installation.people.register()
        form = {"grant_type": "password", "username": "nobody@example.com", "password": "wrong enough 1"}
        answers = [await installation.client.post("/v1/auth/token", data=form) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [400, 400, 400, 429, 429]
        text = (await installation.client.get("/metrics")).text
    found = samples(text)
    assert found["tulou_security_events_total", "login_failed"] == 3
    assert found["tulou_security_events_total", "login_succeeded"] == 1
    assert found["tulou_attempts_refused_total", "login_address"] == 2
    assert "# TYPE tulou_security_events_total counter" in text
    assert person.email not in text
