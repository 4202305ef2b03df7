"""The system in fleets: two kinds of APIs behind one address, and a worker for each domain's jobs."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.fleets.reverse_proxy import ReverseProxy
from tests.programs import Program, free_port

OF_FILES = "files"
OTHERS = "idempotency,jobs,emails,users,auth"


@dataclass(frozen=True)
class SplitDeployment:
    """One address, and what stands behind it."""

    url: str
    files_url: str
    others_url: str
    proxy: ReverseProxy
    workers: dict[str, Program]


@pytest.fixture(scope="module")
def split_deployment(programs: Callable[..., Program]) -> Iterator[SplitDeployment]:
    port, files_port, others_port = free_port(), free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    started = [
        programs("serve", "--domains", OF_FILES, TULOU_PORT=str(files_port), TULOU_PUBLIC_URL=url),
        programs("serve", "--domains", OTHERS, TULOU_PORT=str(others_port), TULOU_PUBLIC_URL=url),
    ]
    workers = {
        "files": programs("worker", "--domains", "files", "--queues", "files", TULOU_PUBLIC_URL=url),
        "emails": programs("worker", "--domains", "emails", "--queues", "mail", TULOU_PUBLIC_URL=url),
        "others": programs("worker", "--queues", "default", TULOU_PUBLIC_URL=url),
    }
    programs("relay")
    for program, its_port in zip(started, (files_port, others_port), strict=True):
        program.wait_until_it_answers(f"http://127.0.0.1:{its_port}/health/ready")
    for worker in workers.values():
        worker.wait_for("ready.")
    proxy = ReverseProxy({"/": others_port, "/v1/files": files_port})
    with _in_a_thread(proxy, port):
        yield SplitDeployment(
            url, f"http://127.0.0.1:{files_port}", f"http://127.0.0.1:{others_port}", proxy, workers
        )


class _in_a_thread:  # noqa: N801  # reads as what it does
    """Let the proxy work while a test waits for a program."""

    def __init__(self, proxy: ReverseProxy, port: int) -> None:
        self._proxy, self._port = proxy, port
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))

    async def _serve(self) -> None:
        async with self._proxy.listening(self._port):
            await self._end.wait()

    def __enter__(self) -> None:
        self._thread.start()
        for _ in range(100):
            try:
                httpx.get(f"http://127.0.0.1:{self._port}/health/live")
            except httpx.TransportError:
                continue
            return

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self._loop.close()
