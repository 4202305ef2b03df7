"""The program of the process that opens untrusted images and documents.

It reads one JSON object a line from standard input and answers one a line on standard output. It imports
nothing of the rest of Tulou, holds no secret and has given up the network, new processes, other people's files
and unbounded memory before the first request.
"""

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from domains.files.gateway import confinement
from domains.files.gateway.rendering import documents, pictures
from domains.files.gateway.rendering.answers import Answer, Operation, Request, answer_to

_FONTS = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))


def main() -> None:
    """Give up what a parser doesn't need, then serve until standard input ends."""
    limits = json.loads(sys.stdin.readline())
    try:
        _prepare_libraries()
        _confine(limits)
    except (confinement.ConfinementUnavailableError, ImportError) as error:
        _answer({"unavailable": str(error)})
        return
    _answer({"ready": True})
    for line in sys.stdin:
        confinement.grant_cpu_seconds(limits["cpu_seconds"])
        _answer(_perform(json.loads(line)))


def _confine(limits: Request) -> None:
    if limits["confined"]:
        confinement.die_with_parent()
        confinement.restrict_paths(writable=Path(limits["folder"]), readable=_FONTS)
        confinement.deny_network_and_processes()
    confinement.limit_resources(memory_bytes=limits["memory_bytes"], output_bytes=limits["output_bytes"])


def _prepare_libraries() -> None:
    pictures.prepare()
    documents.prepare()


def _answer(answer: Answer) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _perform(request: Request) -> Answer:
    return answer_to(OPERATIONS[request["operation"]], request)


def _probe(request: Request) -> Answer:
    """Try what must be impossible here; the sandbox's own check calls it. Return the name of what still works."""
    works = []
    attempts: dict[str, Callable[[], object]] = {
        "network": lambda: socket.socket().close(),
        "process": lambda: os.fork() or os._exit(0),
        "read": lambda: Path(request["input"]).read_bytes(),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError:
            continue
        works.append(name)
    return {"works": works}


OPERATIONS: dict[str, Operation] = {**pictures.OPERATIONS, **documents.OPERATIONS, "probe": _probe}
