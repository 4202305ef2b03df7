"""The support bundle: its contents, and that it contains no secret and no personal data."""

import asyncio
import errno
import json
import os
import secrets
import stat
import tarfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr

from bootstrap.doctor.bundle import BundleRefused, write
from bootstrap.doctor.parts import PARTS
from bootstrap.doctor.scrubbing import Scrubber
from bootstrap.migrations.runner import migrate
from bootstrap.settings.model import Settings
from shared.redaction import HIDDEN
from tests.bootstrap.test_commands import run
from tests.installations import isolated_settings, running
from tools.faults.people import some_email

MAILS = ("planted.sender@mailing.example.com", "smtp.login@mailing.example.com", "Planted Person")
SECRETS = {
    name: secrets.token_urlsafe(24)
    for name in ("metrics", "smtp", "store_id", "store", "sentry", "replica", "aws", "redis", "backup")
}


def environment_of(own: Settings, folder: Path) -> dict[str, str]:
    """Return settings that have a secret or a person wherever one can be."""
    assert own.database_url is not None
    return {
        "DATABASE_URL": own.database_url.get_secret_value(),
        "TULOU_DATA_DIR": str(folder),
        "TULOU_METRICS_TOKEN": SECRETS["metrics"],
        "TULOU_EMAILS_SENDER": f"{MAILS[2]} <{MAILS[0]}>",
        "SMTP_URL": f"smtp://{MAILS[1].replace('@', '%40')}:{SECRETS['smtp']}@127.0.0.1:9?starttls=off",
        "TULOU_FILES_STORE_URL": f"file://{folder}/files",
        "TULOU_FILES_STORE_KEY_ID": SECRETS["store_id"],
        "TULOU_FILES_STORE_SECRET": SECRETS["store"],
        "TULOU_SENTRY_DSN": f"https://{SECRETS['sentry']}@sentry.example.com/1",
        "TULOU_DATABASE_REPLICA_URLS": f"postgresql://tulou:{SECRETS['replica']}@127.0.0.1:9/x",
        "TULOU_BACKUP_PLACE": f"s3://bucket:{SECRETS['backup']}@127.0.0.1/backups",
        "REDIS_URL": f"redis://:{SECRETS['redis']}@127.0.0.1:9/0",
        "AWS_SECRET_ACCESS_KEY": SECRETS["aws"],
        "TULOU_FILES_STORE_REGION": f"pasted-{SECRETS['aws']}",
        "TULOU_DOCTOR_PATIENCE": "20",
    }


def files_in(bundle: Path) -> dict[str, str]:
    """Return the texts of an archive by name."""
    with tarfile.open(bundle) as tar:
        return {
            Path(member.name).name: file.read().decode()
            for member in tar.getmembers()
            if (file := tar.extractfile(member)) is not None
        }


@pytest.fixture(scope="module")
async def own(servers, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    made = await isolated_settings(settings, servers.superuser_url, tmp_path_factory.mktemp("bundle"))
    await asyncio.to_thread(migrate, made)
    return made


async def planted_in_rows(own: Settings) -> list[str]:
    """Write people, files, mails and failed jobs; return what must not be told of them."""
    email, name, token = some_email(), "holiday-in-planted-town.txt", secrets.token_urlsafe(32)
    async with running(own) as installation:
        user = await installation.people.register(email=email)
        await installation.client.post(
            "/v1/files",
            content=b"planted content",
            headers={
                **user.headers,
                "Content-Type": "text/plain",
                "Content-Disposition": f'attachment; filename="{name}"',
            },
        )
    assert own.database_owner_url is not None
    owner = await asyncpg.connect(own.database_owner_url.get_secret_value())
    problem = {"code": "files.broken_document", "detail": f"No {name} of {email}, token {token}."}
    await owner.execute(
        "INSERT INTO jobs.attempts (job_id, attempt, outcome, worker_id, error)"
        " SELECT id, 1, 'failed', 'planted-host:1', $1::jsonb FROM jobs.jobs LIMIT 1",
        json.dumps(problem),
    )
    await owner.execute(
        "INSERT INTO jobs.workers (id, host, pid, queues, version, draining)"
        " VALUES ('planted-host:1', 'planted-host', 1, 'files', '0.0.9', false)"
    )
    await owner.close()
    return [email, name, token, "planted content", user.access_token]


async def test_nothing_secret_or_personal_is_in_it(servers, own: Settings, tmp_path: Path) -> None:
    planted = await planted_in_rows(own)
    environment = environment_of(own, tmp_path)
    bundle = tmp_path / "support.tar.gz"
    said = await asyncio.to_thread(run, servers, "doctor", "--json", "--bundle", str(bundle), **environment)
    assert said.returncode == 1, said.stderr
    assert f"Wrote {bundle}" in said.stderr
    assert json.loads(said.stdout)["checks"]
    files = files_in(bundle)
    of_urls = [urlsplit(value).password for value in servers.environment.values() if "://" in value]
    keys = [value for name, value in servers.environment.items() if name.endswith(("_KEY", "_KEYS"))]
    forbidden = [*planted, *MAILS, *SECRETS.values(), *filter(None, of_urls), *keys]
    assert len(forbidden) > 20
    for name, text in files.items():
        for word in forbidden:
            assert word not in text, (name, word)
            assert word.replace("@", "%40") not in text, (name, word)
    assert set(files) == {
        "README.txt",
        *(f"{name}.json" for name in ("versions", "machine", "settings", "doctor", *PARTS)),
    }
    check_contents({name: json.loads(text) for name, text in files.items() if name.endswith(".json")})


def check_contents(found: dict[str, Any]) -> None:
    """What support needs is there."""
    assert found["versions.json"]["packages"]["fastapi"]
    assert found["machine.json"]["limits"]["nofile"]
    settings = found["settings.json"]
    assert settings["TULOU_METRICS_TOKEN"] == {"value": HIDDEN, "source": "set"}
    assert settings["TULOU_EMAILS_SENDER"]["value"] == HIDDEN
    assert settings["TULOU_JOBS_LEASE"]["value"] == 60
    lines = {line["name"]: line for line in found["doctor.json"]}
    assert "127.0.0.1:9" in lines["redis"]["finding"]
    assert found["migrations.json"]["database"] == found["migrations.json"]["this_version"]
    assert {queue["queue"] for queue in found["jobs.json"]["queues"]} >= {"default", "files", "mail"}
    (failure,) = [row for row in found["failures.json"] if row["code"] == "files.broken_document"]
    assert failure["number"] == 1
    assert [row["version"] for row in found["workers.json"]] == ["0.0.9"]
    assert "users.users" in {row["name"] for row in found["tables.json"]}
    assert found["postgres.json"]["max_connections"]
    assert found["redis.json"] == {"unknown": "CheckFailed"}


def test_only_its_owner_may_read_it_and_a_file_that_is_there_stays(tmp_path: Path) -> None:
    bundle = tmp_path / "support.tar.gz"
    before = os.umask(0)
    try:
        write(bundle, {"a.txt": b"first"}, force=False)
        assert stat.S_IMODE(bundle.stat().st_mode) == 0o600
        with pytest.raises(BundleRefused, match="--force"):
            write(bundle, {"a.txt": b"second"}, force=False)
        assert files_in(bundle) == {"a.txt": "first"}
        bundle.chmod(0o644)
        write(bundle, {"a.txt": b"second"}, force=True)
        assert stat.S_IMODE(bundle.stat().st_mode) == 0o600
        assert files_in(bundle) == {"a.txt": "second"}
    finally:
        os.umask(before)
    with pytest.raises(BundleRefused, match="ENOENT"):
        write(tmp_path / "none" / "support.tar.gz", {}, force=False)
    assert [path.name for path in tmp_path.iterdir()] == [bundle.name]


@pytest.mark.parametrize("force", [False, True])
def test_what_cannot_be_written_whole_is_deleted(tmp_path: Path, monkeypatch, *, force: bool) -> None:
    def full(descriptor: int, *_: object) -> None:
        os.close(descriptor)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(BundleRefused, match="ENOSPC"):
        write(tmp_path / "support.tar.gz", {"a.txt": b"text"}, force=force)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_refused_before_anything_is_asked(servers, settings, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    said = run(servers, "doctor", "--bundle", str(tmp_path / "there"))
    assert (said.returncode, said.stdout) == (1, "")
    assert "--force" in said.stderr
    assert (tmp_path / "there").read_text() == "mine"


def test_settings_that_cannot_be_used_still_make_a_bundle(servers, settings, tmp_path: Path) -> None:
    bundle = tmp_path / "support.tar.gz"
    said = run(servers, "doctor", "--bundle", str(bundle), TULOU_METRICS_TOKEN="short-one")
    assert said.returncode == 1
    files = files_in(bundle)
    assert set(files) == {"README.txt", "versions.json", "machine.json", "doctor.json"}
    assert "TULOU_METRICS_TOKEN" in files["doctor.json"]
    assert "short-one" not in "".join(files.values())


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ann:the-password-1@db/x",
        "the-password-1",
        "the%2Dpassword%2D1",
        "write to ann.doe@mail.example.com",
        'Authorization: Bearer 0123456789abcdef"',
    ],
)
def test_what_is_scrubbed(settings: Settings, text: str) -> None:
    url = SecretStr("postgresql://ann:the%2Dpassword%2D1@db:5432/x")
    scrubber = Scrubber(settings.model_copy(update={"database_url": url}), {})
    scrubbed = json.dumps(scrubber.value({"found": [text], text: 1}))
    for word in ("the-password-1", "the%2Dpassword%2D1", "ann.doe", "0123456789abcdef"):
        assert word not in scrubbed
    assert HIDDEN in scrubbed
