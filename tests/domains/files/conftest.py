"""Upload and read files over HTTP, with real bytes."""

import asyncpg
import httpx
import pytest

from bootstrap.container import TulouContainer
from domains.files.gateway import erasures
from domains.files.settings import FilesSettings


@pytest.fixture
def limits(composition: TulouContainer, monkeypatch):
    """Change settings of files for one test: the services share one object."""

    def change(**values) -> None:
        changed = composition.settings().model_copy(update=values)
        assert isinstance(changed, FilesSettings)
        for service in (
            composition.files.uploads(),
            composition.files.service(),
            composition.files.cleaning(),
        ):
            monkeypatch.setattr(service, "settings", changed)
        monkeypatch.setattr(composition.files.quota_limits(), "settings", changed)

    return change


@pytest.fixture
async def rows(servers, settings):
    """Read the database as an operator would: `await rows("SELECT ...", argument)`."""
    connection = await asyncpg.connect(servers.environment["TULOU_DATABASE_OWNER_URL"])
    yield connection.fetch
    await connection.close()


@pytest.fixture
def upload(client: httpx.AsyncClient):
    async def send(person, data: bytes = b"plain words", name: str = "a.txt", **fields):
        answer = await client.post(
            "/v1/files", files={"file": (name, data, "text/x-claimed")}, data=fields, headers=person.headers
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    return send


@pytest.fixture
def stored(composition: TulouContainer):
    """Tell which objects the store holds, without the records of erased accounts, which are kept for restores."""
    folder = composition.settings().data_dir / "files"
    records = folder / erasures.FOLDER
    return lambda: {path for path in folder.rglob("*") if path.is_file() and records not in path.parents}
