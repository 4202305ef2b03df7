"""The whole system as separate processes, as in production."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import httpx
import pytest

from domains.auth.settings import AuthSettings
from tests.conftest import some_address
from tests.programs import Program, free_port
from tools.faults.people import People

AS_IN_PRODUCTION = {"TULOU_AUTH_HASH_MEMORY_KIB": str(AuthSettings().auth_hash_memory_kib)}
"""What fifty logins at a time do to the rest can only be seen with real hashes."""

QUICK = {"TULOU_JOBS_LEASE": "4", "TULOU_JOBS_HEARTBEAT": "1", "TULOU_EMAILS_OUTAGE_SECONDS": "1"}


@dataclass(frozen=True)
class System:
    """A running system."""

    url: str
    api: Program
    relay: Program
    workers: dict[str, Program]


@pytest.fixture(scope="module")
def system(programs: Callable[..., Program]) -> System:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    api = programs("serve", TULOU_PORT=str(port), TULOU_PUBLIC_URL=url, **QUICK, **AS_IN_PRODUCTION)
    relay = programs("relay", **QUICK)
    workers = {
        queue: programs("worker", "--queue", queue, TULOU_PUBLIC_URL=url, **QUICK)
        for queue in ("default", "mail", "files")
    }
    api.wait_until_it_answers(f"{url}/health/ready")
    for worker in workers.values():
        worker.wait_for("ready.")
    return System(url, api, relay, workers)


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
