"""Commands of `tulou`, as an operator types them."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from tools.faults.harness import Harness

PROJECT = Path(__file__).parents[2]


async def tulou(harness: Harness, *arguments: str, program: Path = PROJECT) -> tuple[int, str]:
    """Run a command of the program in a folder; return its exit code and what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bootstrap.cli.main",
        *arguments,
        cwd=program,
        env=os.environ | harness.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace").strip()


def last_line(said: str) -> str:
    """Return the last line of an output."""
    return said.splitlines()[-1] if said else "nothing"
