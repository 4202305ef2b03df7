"""A worker with a hostile renderer, as a separate process. It prints the results of the attacks.

python -m tests.security.sandbox.worker '{"folder": ..., "kinds": [...], "without": ..., "verified": true}'
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from domains.files.errors import SandboxUnavailable
from domains.files.gateway import child
from domains.files.gateway.sandbox import Sandbox
from domains.files.settings import FilesSettings
from tests.security.sandbox import hostile

THREADS, OUTPUT_BYTES = 40, 1 << 20


async def main(order: dict[str, Any]) -> None:
    outside = Path(order["folder"]) / "outside"
    if not order["verified"]:
        child.find_missing_confinement = lambda *_arguments, **_named: None
    inherited = os.open(outside / "secret", os.O_RDONLY)
    os.set_inheritable(inherited, True)  # the function's signature
    victim = started_victim(order["user"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        facts = os.fstat(inherited)
        target = {
            "parent": os.getpid(),
            "victim_process": victim.pid,
            "port": server.getsockname()[1],
            "project": str(hostile.PROJECT),
            "secret": os.environ["TULOU_TEST_SECRET"],
            "secrets": {path.name: str(path) for path in outside.iterdir()},
            "inherited": [facts.st_dev, facts.st_ino],
            "outside": str(outside),
            "victim": str(outside / "victim"),
            "host": socket.gethostname(),
            "threads": THREADS,
            "output_bytes": OUTPUT_BYTES,
        }
        try:
            told = {kind: await attacked(order, kind, target) for kind in order["kinds"]}
        finally:
            victim.communicate()
    sys.stdout.write(json.dumps(told))


def started_victim(user: int) -> subprocess.Popen[bytes]:
    """Start a process of the renderer's user, whom signals and the like would reach if they were let through.

    It ends with its standard input.
    """
    own = {"user": user, "group": user, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        return subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, **own)
    except PermissionError:
        return subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE)


async def attacked(order: dict[str, Any], kind: str, target: dict[str, Any]) -> dict[str, Any]:
    settings = settings_of(order)
    sandbox, neighbour = Sandbox(settings, program=hostile.program(kind, order["without"])), Sandbox(settings)
    try:
        async with sandbox.workspace() as workspace, neighbour.workspace() as other:
            (other / "source").write_text("of another worker slot")
            neighbour._scratch.grant_read(other / "source")
            secrets = target["secrets"] | {"another slot's file": str(other / "source")}
            source = workspace / "source"
            source.write_text(json.dumps(target | {"secrets": secrets}))
            _, made = await sandbox.make("extract_text", source=source, max_characters=1 << 20)
            left = sorted(path.name for path in workspace.iterdir())
            left_beside = sorted(path.name for path in workspace.parent.iterdir() if path != workspace)
            return {**json.loads(made), "left": left + left_beside}
    except SandboxUnavailable as error:
        return {"unavailable": error.reason}
    finally:
        await sandbox.stop()
        await neighbour.stop()


def settings_of(order: dict[str, Any]) -> FilesSettings:
    return FilesSettings(
        files_scratch_folder=Path(order["folder"]) / "scratch",
        files_sandbox_user=order["user"],
        files_sandbox_threads=THREADS,
        files_sandbox_output_bytes=OUTPUT_BYTES,
    )


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
