"""Environments for a worker whose renderer is hostile."""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import rmtree

import pytest

if platform.machine() not in {"x86_64", "aarch64"} or not sys.platform.startswith("linux"):
    collect_ignore_glob = ["test_*.py"]  # nothing is opened there

PROJECT = Path(__file__).parents[3]
NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PLAIN_USER, RENDERER_USER = 61_000 + NUMBER, 62_000 + NUMBER
"""No other program has them, nor another process that shares these tests: threads are counted by user."""
SECRET = "the-secret-of-the-worker"
LAUNCH = Path(__file__).with_name("launch.py")


class Place:
    """A folder with what must stay as it is, and a worker that works beside it."""

    def __init__(self, folder: Path, *, plain: bool) -> None:
        self.folder, self.outside = folder, folder / "outside"
        self.user = PLAIN_USER if plain and os.geteuid() == 0 else None
        self.outside.mkdir(mode=0o755)
        for name in ("secret", ".env", "database", "object", "victim"):
            path = self.outside / name
            path.write_text(f"{name}: {SECRET}")
            path.chmod(0o666 if name == "victim" else 0o600)
        (self.folder / "scratch").mkdir()
        if self.user is not None:
            for path in (folder, self.outside, *self.outside.iterdir(), folder / "scratch"):
                os.chown(path, self.user, self.user)

    def attacked(
        self,
        *kinds: str,
        without: str = "nothing",
        verified: bool = True,
        missing: Sequence[int] = (),
        capabilities: Sequence[int] = (),
    ) -> dict[str, dict]:
        """Have the worker's renderer attack; return what came of it, by kind of thread.

        It lacks the layer `without`; the worker looks at its threads if `verified`; the kernel lacks the calls
        `missing`, and the worker the `capabilities`.
        """
        order = {
            "folder": str(self.folder),
            "user": RENDERER_USER,
            "kinds": kinds,
            "without": without,
            "verified": verified,
        }
        launch = json.dumps({"user": self.user, "missing": missing, "without_capabilities": capabilities})
        done = subprocess.run(
            [
                *(sys.executable, "-I", str(LAUNCH), launch),
                *(sys.executable, "-m", "tests.security.sandbox.worker", json.dumps(order)),
            ],
            cwd=PROJECT,
            env={"TULOU_TEST_SECRET": SECRET, "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        told = json.loads(done.stdout.splitlines()[-1])
        assert not [each["error"] for each in told.values() if "error" in each]
        return told

    def state(self) -> dict[str, tuple]:
        """Everything about the files outside that could have been changed."""
        return {
            path.name: (
                path.lstat().st_mode,
                path.lstat().st_nlink,
                path.lstat().st_mtime_ns,
                path.read_bytes(),
                os.listxattr(path),
            )
            for path in self.outside.iterdir()
        }


@pytest.fixture(params=["root", "plain"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    yield from made(plain=request.param == "plain")


@pytest.fixture
def plain_place() -> Iterator[Place]:
    """One whose worker is a plain user."""
    yield from made(plain=True)


@pytest.fixture
def root_place() -> Iterator[Place]:
    """One whose worker is root."""
    yield from made(plain=False)


def made(*, plain: bool) -> Iterator[Place]:
    if not plain and os.geteuid() != 0:
        pytest.skip("this run is not root's")
    folder = Path(tempfile.mkdtemp(prefix="tulou-hostile-"))
    folder.chmod(0o755)
    yield Place(folder, plain=plain)
    rmtree(folder)
