"""Attacks with connections and what is sent on them before anything is asked for."""

from tools.faults.attacks.register import Finding, attack
from tools.faults.attacks.scene import under_attack
from tools.faults.harness import Harness


@attack(
    "pipelining",
    "150 connections that send a slow request and 3,000 more behind it",
    expected="a bounded number of requests waits on each connection, the rest stays unread",
)
async def requests_are_pipelined(harness: Harness) -> Finding:
    async with under_attack(harness) as scene:
        return await scene.two_rounds(
            "pipelining",
            seconds=harness.seconds(15),
            connections=harness.count(150, least=50),
            requests=3000,
        )


@attack(
    "sockets",
    "300 idle connections to a process that may open 256 descriptors",
    expected="idle ones are closed, others connect at once",
)
async def sockets_are_held(harness: Harness) -> Finding:
    few = ["sh", "-c", 'ulimit -n 256; exec "$0" "$@"']
    async with under_attack(harness, inside=few) as scene:
        return await scene.two_rounds("connecting", seconds=harness.seconds(15), connections=300)
