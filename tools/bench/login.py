"""Sign-in: as fast as passwords can be hashed, with little effect on other requests."""

import asyncio
import os
import sys
import time
from urllib.parse import urlencode

from domains.auth.gateway.passwords import PasswordHasher
from domains.auth.settings import AuthSettings
from tools.bench.figures import Figures
from tools.bench.load import Plan
from tools.bench.rounds import Server, apply_load, request
from tools.bench.seed import PASSWORD
from tools.bench.workplace import Workplace

ROUNDS = 5
SECONDS = 5.0
_HASHES = 40


async def measure_login(place: Workplace, figures: Figures) -> None:
    """Sign in on eight connections; four others read themselves meanwhile."""
    cores = os.cpu_count() or 1
    threads = max(1, cores - 1)
    server = place.server("Tulou", every_core=True)
    rates, to_threads, to_cores, waits = [], [], [], []
    for _ in range(ROUNDS):
        hash_seconds = await _seconds_of_a_hash()
        logins, others = await asyncio.gather(_log_in(place, server), apply_others(place, server))
        rates.append(logins)
        to_threads.append(logins * hash_seconds / threads)
        to_cores.append(logins * hash_seconds / cores)
        waits.append(others)
    figures.told("login", "a second", rates)
    figures.at_least("login", "to the hashes that its threads (cores - 1) can make", to_threads, 0.95)
    figures.told("login", "to the hashes that every core together can make", to_cores)
    figures.at_most("login", "p99 of other routes meanwhile", waits, 60, "ms")


async def apply_others(place: Workplace, server: Server, *, seconds: float = SECONDS) -> float:
    """Read themselves as a few people who take their time; return their p99 in milliseconds."""
    requests = [request("GET", "/v1/users/me", token=token) for token in place.people.tokens]
    plan = Plan(server.port, requests, connections=4, seconds=seconds, pause=0.02)
    return (await apply_load(plan)).require(200).p99


async def _log_in(place: Workplace, server: Server) -> float:
    forms = [
        urlencode({"grant_type": "password", "username": address, "password": PASSWORD})
        for address in place.people.addresses
    ]
    kind = "application/x-www-form-urlencoded"
    requests = [request("POST", "/v1/auth/token", body=form, kind=kind) for form in forms]
    plan = Plan(server.port, requests, connections=8, seconds=SECONDS)
    return (await apply_load(plan)).require(200).rate


async def _seconds_of_a_hash() -> float:
    """Let a process of its own verify passwords one after the other, with the same parameters."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tools.bench.login", stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return float(said)


async def _verify() -> float:
    hasher = PasswordHasher(AuthSettings())
    password_hash = await hasher.hash(PASSWORD)
    begun = time.perf_counter()
    for _ in range(_HASHES):
        await hasher.verify(PASSWORD, password_hash)
    return (time.perf_counter() - begun) / _HASHES


if __name__ == "__main__":
    sys.stdout.write(str(asyncio.run(_verify())))
