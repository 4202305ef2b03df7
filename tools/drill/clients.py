"""Clients that go on asking while something happens, and what they were answered."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

import httpx

from tools.faults.people import People, Person

PER_SECOND = 100
"""Requests in a second: seven in ten read, two hand in a job, one uploads a file and reads it again."""

SLOW = 30.0
"""Seconds after which a client gives up."""


@dataclass
class Counts:
    """How requests ended. A request is `refused` when it is answered 503 with `Retry-After`."""

    requests: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)
    longest: float = 0.0
    last_refused_at: float = 0.0
    codes: Counter[str] = field(default_factory=Counter)
    """How often each code was given for a refusal."""


class Clients:
    """Sends `PER_SECOND` requests to one address, each on a connection of its own, whether or not answers come."""

    def __init__(self, url: str, *, per_second: float = PER_SECOND) -> None:
        self.counts = Counts()
        self.accepted: list[UUID] = []
        self.kinds: tuple[str, ...] = ("faults.effect",)
        self._per_second = per_second
        self.http = httpx.AsyncClient(
            base_url=url,
            timeout=SLOW,
            headers={"Connection": "close"},
            limits=httpx.Limits(max_connections=None),
        )

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator["Clients"]:
        """Ask until the block ends; then wait for the last answers."""
        person = await People(self.http, None).register()
        over = asyncio.Event()
        asking = asyncio.create_task(self._ask_on(over, person))
        try:
            yield self
        finally:
            over.set()
            await asking
            await self.http.aclose()

    async def until_answered(self, since: float, *, seconds: float = 30.0) -> float:
        """Wait until nothing was refused for two seconds; return how long after `since` the last refusal was."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if time.monotonic() - max(since, self.counts.last_refused_at) > 2:
                break
            await asyncio.sleep(0.05)
        return max(0.0, self.counts.last_refused_at - since)

    async def _ask_on(self, over: asyncio.Event, person: Person) -> None:
        begun, number = time.monotonic(), 0
        async with asyncio.TaskGroup() as requests:
            while not over.is_set():
                requests.create_task(self._one(number, person))
                number += 1
                wait = begun + number / self._per_second - time.monotonic()
                if wait > 0:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(over.wait(), wait)
                else:
                    await asyncio.sleep(0)

    async def _one(self, number: int, person: Person) -> None:
        turn = number % 10
        if turn in {3, 7}:
            answer = await self.ask(
                "POST", "/v1/faults/jobs", json={"kind": self.kinds[number % len(self.kinds)]}
            )
            if answer is not None:
                self.accepted.append(UUID(answer.json()["id"]))
        elif turn == 9:
            await self._file(f"file {number}".encode(), person.headers)
        else:
            await self.ask("GET", "/v1/users/me", headers=person.headers)

    async def _file(self, content: bytes, headers: dict[str, str]) -> None:
        files = {"file": ("a.txt", content, "text/plain")}
        made = await self.ask("POST", "/v1/files", headers=headers, files=files)
        if made is None:
            return
        read = await self.ask("GET", f"/v1/files/{made.json()['id']}/content", headers=headers)
        if read is not None and read.content != content:
            self.counts.failures.append("a file came back with other bytes")

    async def ask(self, method: str, path: str, **more: object) -> httpx.Response | None:
        """Ask once; None: it was refused or failed."""
        counts, begun = self.counts, time.monotonic()
        counts.requests += 1
        try:
            answer = await self.http.request(method, path, **more)  # type: ignore[arg-type]  # httpx's own
        except httpx.HTTPError as error:
            counts.failures.append(f"{method} {path}: {error!r}")
            return None
        finally:
            counts.longest = max(counts.longest, time.monotonic() - begun)
        if answer.is_success:
            return answer
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and "Retry-After" in answer.headers:
            counts.refused += 1
            counts.codes[answer.json()["code"]] += 1
            counts.last_refused_at = time.monotonic()
        else:
            counts.failures.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return None
