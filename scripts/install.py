"""Makes the virtual environment `.venv` from the lock file, one `make` at a time.

Runs before anything is installed, on whatever Python there is: with the standard library alone, and without syntax
that an older Python can't read, so that it can say which one is needed.
"""

import fcntl
import importlib.util
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
ENVIRONMENT = PROJECT / ".venv"
INSTALLED = ENVIRONMENT / "installed"
NAMED_BY = (PROJECT / "requirements" / "dev.txt", PROJECT / "pyproject.toml")
OLDEST = (3, 11)
PIP = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
STEPS = (
    [sys.executable, "-m", "venv", str(ENVIRONMENT)],
    [*PIP, "--require-hashes", "--no-deps", "-r", "requirements/dev.txt"],
    [*PIP, "--no-deps", "--no-build-isolation", "-e", "."],
)


def main() -> None:
    """Install, or wait for who does it already."""
    require_python(goal=" ".join(sys.argv[1:]) or "install")
    ENVIRONMENT.mkdir(exist_ok=True)
    with (ENVIRONMENT / "install.lock").open("w") as lock:
        if waited_for(lock.fileno()) and is_installed():
            return
        say("Installing what requirements/dev.txt names; about two minutes the first time.")
        for step in STEPS:
            # The lock is the step's too: it goes when the last of both has ended, however that comes about.
            finished = subprocess.run(step, cwd=PROJECT, pass_fds=[lock.fileno()], check=False)  # noqa: S603  # commands of ours
            if finished.returncode:
                sys.exit(finished.returncode)
        INSTALLED.touch()


def require_python(goal: str) -> None:
    """End with a sentence if this Python can't do it."""
    if sys.version_info < OLDEST:
        version = ".".join(str(number) for number in sys.version_info[:2])
        sys.exit(
            f"Tulou needs Python 3.11 or newer, and {sys.executable} is {version}: "
            f"name another one, as in make PYTHON=python3.12 {goal}"
        )
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            f"{sys.executable} cannot make a virtual environment: "
            "install its venv package (on Debian and Ubuntu: apt install python3-venv)."
        )


def waited_for(lock: int) -> bool:
    """Take the lock; tell whether somebody else had it. It is the kernel's: it goes with those who hold it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Another make installs into .venv: waiting until it has ended.")
        fcntl.flock(lock, fcntl.LOCK_EX)
        return True
    return False


def is_installed() -> bool:
    """Tell what `make` asks: whether nothing that names what to install is newer than the last installation."""
    if not INSTALLED.exists():
        return False
    return all(INSTALLED.stat().st_mtime >= place.stat().st_mtime for place in NAMED_BY)


def say(sentence: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
