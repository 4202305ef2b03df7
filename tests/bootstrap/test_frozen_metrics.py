"""`/metrics` of a running API responds within its deadline and reports what is unavailable, whatever hangs."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.bootstrap.test_metrics import samples
from tests.frozen import frozen
from tests.programs import Program, free_port
from tools.dev.valkey import EmbeddedValkey

DEADLINE = 2.5
BUSY_MACHINE = 2.5
"""Seconds that an answer may take longer where others use the processors; one source after another took 9 s."""

Found = dict[tuple[str, ...], float]


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A Redis of its own."""
    server = EmbeddedValkey(tmp_path / "valkey")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def hanging_store() -> Iterator[dict[str, str]]:
    """The settings of a bucket whose server takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield {
            "TULOU_FILES_STORE_URL": "s3://bucket/files",
            "TULOU_FILES_STORE_ENDPOINT": f"http://127.0.0.1:{listener.getsockname()[1]}",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
        }


@pytest.fixture
def full_mail_server() -> Iterator[str]:
    """The URL of a mail server that takes no more connections."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        yield f"smtp://127.0.0.1:{address[1]}?starttls=off"
        for each in waiting:
            each.close()


@pytest.fixture
def serving(programs: Callable[..., Program], valkey: EmbeddedValkey) -> Callable[..., str]:
    """Start an API and return where it is."""

    def start(**environment: str) -> str:
        url = f"http://127.0.0.1:{(port := free_port())}"
        own = {"TULOU_PORT": str(port), "TULOU_PUBLIC_URL": url, "REDIS_URL": valkey.url}
        programs("serve", **own, **environment).wait_until_it_answers(f"{url}/health/live")
        return url

    return start


async def scraped(url: str) -> Found:
    """Return the samples of /metrics, which came in time."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        begun = time.monotonic()
        answer = await client.get("/metrics")
        took = time.monotonic() - begun
    assert answer.status_code == httpx.codes.OK
    assert took < DEADLINE + BUSY_MACHINE
    return samples(answer.text)


async def until(url: str, holds: Callable[[Found], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds(await scraped(url)):
            await asyncio.sleep(0.5)


def down(found: Found) -> set[str]:
    return {name for metric, name, *_ in [(*key, "") for key in found] if metric == "tulou_dependency_up"} - {
        key[1] for key, value in found.items() if key[0] == "tulou_dependency_up" and value == 1
    }


def unread(found: Found) -> set[str]:
    return {key[1] for key, value in found.items() if key[0] == "tulou_metrics_up" and value == 0}


async def test_a_frozen_database(serving, servers, settings) -> None:
    url = serving()
    with frozen(servers.superuser_url):
        found = await scraped(url)
        assert down(found) == {"database"}
        assert unread(found) == {"jobs", "postgres", "files", "emails"}
        assert ("tulou_disk_free_bytes", "data") in found
    await until(url, lambda found: not down(found) and not unread(found))


async def test_everything_hangs(serving, servers, valkey, hanging_store, full_mail_server, settings) -> None:
    url = serving(**hanging_store, SMTP_URL=full_mail_server)
    with frozen(servers.superuser_url, valkey.url):
        found = await scraped(url)
    assert down(found) == {"database", "store", "redis", "mail"}
    assert found["tulou_metrics_up", "dependencies"] == 1


async def test_what_is_away_and_back_again(serving, valkey: EmbeddedValkey, settings) -> None:
    url = serving()
    assert down(await scraped(url)) == set()
    with frozen(valkey.url):
        await until(url, lambda found: down(found) == {"redis"})
    await until(url, lambda found: down(found) == set())
