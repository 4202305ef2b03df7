"""The whole system as separate processes, as it is run for real."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.conftest import some_address
from tests.people import People
from tests.programs import Program, free_port

QUICK = {"TULOU_JOBS_LEASE": "4", "TULOU_JOBS_HEARTBEAT": "1", "TULOU_EMAILS_OUTAGE_SECONDS": "1"}


@dataclass(frozen=True)
class System:
    """A running system."""

    url: str
    api: Program
    relay: Program
    workers: dict[str, Program]


@pytest.fixture(scope="module")
def system(programs: Callable[..., Program]) -> Iterator[System]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    api = programs("serve", TULOU_PORT=str(port), TULOU_PUBLIC_URL=url, **QUICK)
    relay = programs("relay", **QUICK)
    workers = {
        queue: programs("worker", "--queue", queue, TULOU_PUBLIC_URL=url, **QUICK)
        for queue in ("default", "mail", "files")
    }
    api.wait_until_it_answers(f"{url}/health/ready")
    for worker in workers.values():
        worker.wait_for("ready.")
    yield System(url, api, relay, workers)
    for program in (api, *workers.values(), relay):
        program.stop()


@pytest.fixture
async def live(system: System) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running system, with an address of its own."""
    headers = {"X-Forwarded-For": some_address()}
    async with httpx.AsyncClient(base_url=system.url, timeout=30, headers=headers) as client:
        yield client


@pytest.fixture
def citizens(live: httpx.AsyncClient, app, composition) -> People:
    """People of the running system."""
    return People(live, composition)
