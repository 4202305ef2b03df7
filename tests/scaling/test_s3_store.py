"""Files in S3, over HTTP: multipart uploads, ranges, deletes, sweeps, backups; no secret is revealed."""

import asyncio
import hashlib
import logging
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from pydantic import SecretStr

from bootstrap.backup.archive import Archive, objects_at
from bootstrap.backup.restoring import restore
from bootstrap.backup.retention import Retention, mark_of
from bootstrap.backup.saving import save
from bootstrap.migrations.runner import migrate
from domains.files.gateway.erasures import ErasureRecords
from domains.files.gateway.store import ObjectFiles
from shared.clock import Clock
from tests.installations import Installation, isolated_settings, running
from tests.programs import free_port
from tools.faults.people import Person

KEY_ID, SECRET = "AKIATHEKEYID", "the-secret-of-the-store-17"
MIB = 1 << 20
DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True)
class Bucket:
    """A bucket of a real HTTP server that speaks S3."""

    name: str
    endpoint: str
    client: Any

    def keys(self) -> list[str]:
        return [found["Key"] for found in self.client.list_objects_v2(Bucket=self.name).get("Contents", [])]

    def uploads(self) -> list[Any]:
        return self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])

    def settings(self, prefix: str = "tulou") -> dict[str, Any]:
        return {
            "files_store_url": f"s3://{self.name}/{prefix}",
            "files_store_endpoint": self.endpoint,
            "files_store_region": "eu-central-1",
            "files_store_key_id": SecretStr(KEY_ID),
            "files_store_secret": SecretStr(SECRET),
            "files_store_patience": 2,
        }


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="eu-central-1",
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
    )
    yield client
    client.close()
    server.stop()


@pytest.fixture
def bucket(s3) -> Bucket:
    name = f"tulou-{secrets.token_hex(4)}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return Bucket(name, s3.meta.endpoint_url, s3)


@pytest.fixture
async def installed(settings, servers, tmp_path, bucket):
    own = await isolated_settings(settings, servers.superuser_url, tmp_path / "data", **bucket.settings())
    await asyncio.to_thread(migrate, own)
    async with running(own) as installation:
        yield installation


async def upload(installation: Installation, person: Person, content: bytes, **headers: str) -> Any:
    return await installation.client.post(
        "/v1/files",
        content=content,
        headers={
            **person.headers,
            "Content-Type": "text/plain",
            "Content-Disposition": "attachment; filename=a.txt",
            **headers,
        },
    )


async def test_a_large_file_goes_up_in_parts_and_comes_down_in_ranges(installed, bucket) -> None:
    person = await installed.people.register()
    content = os.urandom(6 * MIB).hex().encode()
    made = await upload(installed, person, content)
    assert made.status_code == 201, made.text
    url = f"/v1/files/{made.json()['id']}/content"
    whole = await installed.client.get(url, headers=person.headers)
    assert hashlib.sha256(whole.content).hexdigest() == made.json()["sha256"]
    part = await installed.client.get(
        url, headers={**person.headers, "Range": f"bytes={5 * MIB - 3}-{7 * MIB}"}
    )
    assert part.status_code == 206
    assert part.content == content[5 * MIB - 3 : 7 * MIB + 1]
    (key,) = bucket.keys()
    assert key.startswith("tulou/blobs/")
    head = bucket.client.head_object(Bucket=bucket.name, Key=key)
    assert head["ContentLength"] == len(content)
    assert head["ETag"].strip('"').endswith("-3"), "three parts of at most 5 MiB"


async def test_a_refused_upload_leaves_nothing_behind(installed, bucket) -> None:
    person = await installed.people.register()
    refused = await upload(installed, person, b"x" * 11 * MIB, **{"Repr-Digest": f"sha-256=:{'A' * 43}=:"})
    assert refused.status_code == 400, refused.text
    assert bucket.keys() == []
    assert bucket.uploads() == []


async def test_renditions_are_made_and_everything_is_erased_with_the_file(installed, bucket) -> None:
    person = await installed.people.register()
    files = {"file": ("a.jpg", (DATA / "astronaut.jpg").read_bytes(), "image/jpeg")}
    made = await installed.client.post("/v1/files", files=files, headers=person.headers)
    file_id = made.json()["id"]
    await installed.work_off()
    thumb = await installed.client.get(f"/v1/files/{file_id}/renditions/thumb", headers=person.headers)
    assert thumb.status_code == 200
    assert len(bucket.keys()) > 1
    await installed.container.files.service().trash(file_id, person.id)
    await installed.container.files.cleaning().delete(file_id)
    await installed.work_off()
    assert bucket.keys() == []


async def test_an_upload_that_was_abandoned_is_swept(installed, bucket) -> None:
    store = installed.container.files.store()

    async def interrupted_upload():
        yield b"x" * 11 * MIB
        raise RuntimeError("the client is gone")

    with pytest.raises(RuntimeError, match="is gone"):
        await store.put("blobs/torn", interrupted_upload())
    await store.delete("blobs/torn")
    assert bucket.keys() == []


async def test_a_backup_goes_to_s3_and_comes_back(installed, bucket, settings, servers, tmp_path) -> None:
    person = await installed.people.register()
    made = await upload(installed, person, b"kept in a bucket")
    place = f"s3://{bucket.name}/backups/monday"
    manifest = await save(installed.settings, place, with_files=True)
    assert manifest.files.count == 1
    other = await isolated_settings(
        settings, servers.superuser_url, tmp_path / "other", **bucket.settings(prefix="second")
    )
    await restore(other, place, replace=False)
    async with running(other) as second:
        again = await second.people.sign_in(person.email, person.password)
        read = await second.client.get(f"/v1/files/{made.json()['id']}/content", headers=again.headers)
        assert read.content == b"kept in a bucket"


async def test_old_backups_of_a_bucket_are_deleted(bucket, settings) -> None:
    days = [f"2026-01-0{day}T031700Z" for day in (1, 2, 3)]
    for day in days:
        for key in ("manifest.json", "files/ab/cd"):
            bucket.client.put_object(Bucket=bucket.name, Key=f"backups/{day}/{key}", Body=b"{}")
    bucket.client.put_object(Bucket=bucket.name, Key="backups/2026-01-01T031700Z-kept/a", Body=b"a")
    own = settings.model_copy(update=bucket.settings())
    retention = Retention(objects_at(own, f"s3://{bucket.name}/backups"), keep=1, identity="this database")
    assert await retention.delete_old() == days[:2]
    assert sorted(bucket.keys()) == [
        "backups/2026-01-01T031700Z-kept/a",
        f"backups/{days[2]}/files/ab/cd",
        f"backups/{days[2]}/manifest.json",
    ]


async def test_interrupted_backups_of_a_bucket_are_deleted(bucket, settings) -> None:
    own = settings.model_copy(update=bucket.settings())
    interrupted = Archive(own, f"s3://{bucket.name}/backups/2026-01-01T031700Z")
    await interrupted.begin(mark_of("this database"))
    bucket.client.put_object(Bucket=bucket.name, Key="backups/2999-01-01T031700Z/files/a", Body=b"a")
    retention = Retention(objects_at(own, f"s3://{bucket.name}/backups"), keep=None, identity="this database")
    assert await retention.delete_interrupted() == ["2026-01-01T031700Z"]
    await interrupted.begin(mark_of("this database"))
    await interrupted.discard()
    assert bucket.keys() == ["backups/2999-01-01T031700Z/files/a"]


async def test_erasures_are_recorded_in_the_bucket(bucket, settings, tmp_path) -> None:
    own = settings.model_copy(update=bucket.settings())
    records = ErasureRecords(ObjectFiles(own, tmp_path), clock=Clock())
    erased, now = uuid4(), datetime.now(UTC)
    await records.record(erased)
    assert [each async for each in records.since(now)] == [erased]
    await records.prune(now + timedelta(days=1))
    assert [each async for each in records.since(now)] == []


async def test_a_store_that_is_away_is_a_503_that_gives_nothing_away(
    settings, servers, tmp_path, bucket, capfd
) -> None:
    away = bucket.settings() | {"files_store_endpoint": f"http://127.0.0.1:{free_port()}"}
    own = await isolated_settings(settings, servers.superuser_url, tmp_path, **away)
    await asyncio.to_thread(migrate, own)
    async with running(own) as installation:
        person = await installation.people.register()
        answer = await upload(installation, person, b"nowhere to go")
        ready = await installation.client.get("/health/ready")
    assert answer.status_code == 503, answer.text
    assert (ready.status_code, ready.json()["checks"]["store"]) == (503, "down")
    said = "".join(capfd.readouterr()) + answer.text + repr(own)
    assert SECRET not in said
    assert KEY_ID not in said


async def test_a_bucket_that_is_gone_is_a_503_that_gives_nothing_away(installed, bucket, capfd) -> None:
    person = await installed.people.register()
    bucket.client.delete_bucket(Bucket=bucket.name)
    answer = await upload(installed, person, b"no bucket")
    assert answer.status_code == 503, answer.text
    assert SECRET not in "".join(capfd.readouterr()) + answer.text
