"""Alternating rounds: the system, the floors, the system again, so that what else the machine does meets all."""

import asyncio
import json
import socket
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]

from tools.bench.load import Plan, Seen
from tools.bench.system import Program, cpu_seconds

START_SECONDS = 30.0


@dataclass(frozen=True)
class Server:
    """A server process that is measured."""

    name: str
    program: Program
    port: int

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def memory(self) -> int:
        """Return its resident memory, in bytes."""
        return int(psutil.Process(self.program.pid).memory_info().rss)


@dataclass(frozen=True)
class Round:
    """One load on one server, and the processor time that the server took for it, in seconds."""

    seen: Seen
    processor: float

    @property
    def cost(self) -> float:
        """Microseconds of processor time for an answer."""
        return 1e6 * self.processor / max(1, self.seen.answers)


@dataclass
class Comparison:
    """The rounds of one operation, by server."""

    title: str
    rounds: dict[str, list[Round]] = field(default_factory=dict)

    def median(self, server: str, part: str) -> float:
        """Return the median of `rate`, `p50`, `p99` or `cost`."""
        return statistics.median(_part(each, part) for each in self.rounds[server])

    def ratios(self, server: str, floor: str, part: str) -> list[float]:
        """Return each round's ratio to the floor's round beside it."""
        pairs = zip(self.rounds[server], self.rounds[floor], strict=True)
        return [_part(ours, part) / max(1e-9, _part(theirs, part)) for ours, theirs in pairs]

    def ratio(self, server: str, floor: str, part: str) -> float:
        """Return the median of those."""
        return statistics.median(self.ratios(server, floor, part))


def start(
    name: str, module: str, *, folder: Path, environment: Mapping[str, str], probe: str = "/"
) -> Server:
    """Start a server and wait until it answers."""
    port = free_port()
    place = folder / name.replace(" ", "-")
    place.mkdir(exist_ok=True)
    program = Program(module, folder=place, environment={**environment, "TULOU_PORT": str(port)})
    server = Server(name, program, port)
    until = time.monotonic() + START_SECONDS
    while not _answers(server.url + probe):
        program.require_alive()
        if time.monotonic() > until:
            raise RuntimeError(f"{name} never answered")
        time.sleep(0.01)
    return server


async def apply_load(plan: Plan) -> Seen:
    """Let a process of its own carry out the plan."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tools.bench.load",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate(json.dumps(asdict(plan)).encode())
    if process.returncode:
        raise RuntimeError("the load generator failed")
    return Seen(**json.loads(said))


async def measure(server: Server, plan: Plan, *statuses: int) -> Round:
    """Carry out a plan on a server."""
    before = cpu_seconds(server.program.pid)
    seen = await apply_load(replace(plan, port=server.port))
    server.program.require_alive()
    return Round(seen.require(*(statuses or (200,))), cpu_seconds(server.program.pid) - before)


async def compare(
    title: str,
    servers: Sequence[Server],
    plan: Plan,
    *,
    rounds: int,
    seconds: float,
    statuses: tuple[int, ...] = (200,),
) -> Comparison:
    """Measure every server in turn, `rounds` times, after a short warm-up of each; who begins changes."""
    found = Comparison(title, {server.name: [] for server in servers})
    for server in servers:
        await measure(server, replace(plan, seconds=1.0), *statuses)
    for number in range(rounds):
        for server in servers if number % 2 == 0 else servers[::-1]:
            found.rounds[server.name].append(await measure(server, replace(plan, seconds=seconds), *statuses))
    return found


def request(method: str, path: str, *, token: str | None = None, body: str = "", kind: str = "") -> str:
    """Return a whole HTTP request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: application/json", "User-Agent: bench"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if body:
        lines += [f"Content-Type: {kind or 'application/json'}", f"Content-Length: {len(body.encode())}"]
    return "\r\n".join([*lines, "", body])


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def _part(each: Round, part: str) -> float:
    value: float = each.cost if part == "cost" else getattr(each.seen, part)
    return value


def _answers(url: str) -> bool:
    try:
        httpx.get(url, timeout=2)
    except httpx.HTTPError:
        return False
    return True
