"""An API under attack: people who go on with their work, the memory of the process, and the attacker beside them."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from tools.faults.attacks.register import Finding, Memory
from tools.faults.harness import Harness, System
from tools.faults.people import People, Person

BYSTANDERS = 5
_PAUSE = 0.12
"""Seconds between two requests of a bystander, whose rate limit holds too."""

_LOOK = 0.02
_CALM = 12.0
"""Seconds after a round in which what it left is closed and freed; the process looks at its memory every five."""


@dataclass
class Scene:
    """A running API, the people around, and what was measured so far."""

    system: System
    attacker: Person
    bystanders: list[Person]
    client: httpx.AsyncClient
    finding: Finding = field(default_factory=Finding)
    answers: dict[str, int] = field(default_factory=dict)
    """How often each status was answered to the attacker in the last round."""

    @property
    def port(self) -> int:
        """Where the API listens."""
        return int(urlsplit(self.system.url).port or 0)

    def memory(self) -> float:
        """Return the resident memory of the API in MiB."""
        assert self.system.api is not None
        size: int = psutil.Process(self.system.api.pid).memory_info().rss
        return size / (1 << 20)

    async def two_rounds(self, name: str, *, seconds: float, **arguments: Any) -> Finding:
        """Let the attacker `name` of `attacker.py` loose twice, and judge."""
        await self._watched(self._calm(1.5))
        quiet, self.finding.waits = self.finding.waits, []
        before = self.memory()
        peak = await self._round(name, seconds, arguments)
        after = self.memory()
        peak = max(peak, await self._round(name, seconds, arguments))
        self.finding.memory = Memory(before=before, peak=peak, after=after, after_again=self.memory())
        self.finding.note(f"responses to the attacker {dict(sorted(self.answers.items()))}")
        self.finding.note(f"longest wait of others before the attack: {max(quiet) * 1000:.0f} ms at most")
        self.finding.judge()
        return self.finding

    async def _round(self, name: str, seconds: float, arguments: Mapping[str, Any]) -> float:
        told = {"port": self.port, "seconds": seconds, "token": self.attacker.access_token, **arguments}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tools.faults.attacks.attacker",
            name,
            json.dumps(told),
            stdout=asyncio.subprocess.PIPE,
        )
        peak, (output, _) = await self._watched(process.communicate())
        self.answers = json.loads(output)
        self.finding.expect(self.answers, "the attacker got a response or was disconnected")
        await asyncio.sleep(_CALM)
        return peak

    async def _calm(self, seconds: float) -> tuple[bytes, None]:
        await asyncio.sleep(seconds)
        return b"", None

    async def _watched(self, work: Any) -> tuple[float, tuple[bytes, Any]]:
        """Return the largest memory seen while `work` goes on and others wait for their answers, and its result."""
        working = asyncio.ensure_future(work)
        asking = [asyncio.create_task(self._ask(person, working)) for person in self.bystanders]
        peak = self.memory()
        while not working.done():
            await asyncio.wait({working}, timeout=_LOOK)
            peak = max(peak, self.memory())
        await asyncio.gather(*asking)
        return peak, working.result()

    async def _ask(self, person: Person, working: asyncio.Future[Any]) -> None:
        while not working.done():
            started = time.monotonic()
            answer = await self.client.get("/v1/users/me", headers=person.headers)
            self.finding.waits.append(time.monotonic() - started)
            if answer.status_code != httpx.codes.OK:
                self.finding.broken.append(f"a bystander was answered {answer.status_code}")
            await asyncio.sleep(_PAUSE)


@contextlib.asynccontextmanager
async def under_attack(
    harness: Harness, *, inside: Sequence[str] = (), **environment: str
) -> AsyncIterator[Scene]:
    """Run one API process with the limits that it has by default, `inside` a command that becomes it."""
    settings = {"TULOU_TRUSTED_PROXIES": "", "TULOU_RATE_LIMIT": "600"} | environment
    async with harness.system(workers=0, relays=0, api_inside=inside, **settings) as system:
        # A network of its own for each attack: so many may register from one.
        transport = httpx.AsyncHTTPTransport(local_address=f"127.{harness.number() % 200 + 20}.0.2")
        async with httpx.AsyncClient(transport=transport, base_url=system.url, timeout=30) as client:
            people = People(client, None)
            persons = [await people.register() for _ in range(BYSTANDERS + 1)]
            yield Scene(system, persons[0], persons[1:], client)
