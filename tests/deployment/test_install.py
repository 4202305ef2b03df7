"""`make` installs once, even if called concurrently, and reports missing requirements."""

import ast
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SCRIPT = PROJECT / "scripts/install.py"
INSTALLING = "Installing what requirements/dev.txt names; about two minutes the first time."
WAITING = "Another make installs into .venv: waiting until it has ended."
BUILDER = '''
"""Takes its time, notes each time that it is asked, and makes an empty wheel."""
import time, zipfile
from pathlib import Path

def build_editable(folder, config_settings=None, metadata_directory=None):
    with open("asked", "a") as asked:
        asked.write("once more\\n")
    while Path("slow").exists():
        time.sleep(0.05)
    info = "tulou-1.dist-info"
    with zipfile.ZipFile(Path(folder) / "tulou-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: tulou\\nVersion: 1\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return "tulou-1-py3-none-any.whl"
'''
BUILT_BY_IT = '[build-system]\nrequires = []\nbuild-backend = "builder"\nbackend-path = ["."]\n'


class Clone:
    """A checkout with the Makefile of this one, which needs nothing and is slow to build while `slow` is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.slow = folder / "slow"
        self.begun: list[subprocess.Popen[str]] = []
        for path, text in {
            "Makefile": (PROJECT / "Makefile").read_text(),
            "scripts/install.py": SCRIPT.read_text(),
            "requirements/dev.txt": "# nothing\n",
            "pyproject.toml": BUILT_BY_IT,
            "builder.py": BUILDER,
        }.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text)

    @property
    def times_asked(self) -> int:
        """How often the package was built."""
        asked = self.folder / "asked"
        return len(asked.read_text().splitlines()) if asked.exists() else 0

    def make(self) -> subprocess.Popen[str]:
        """Begin to install, in a process group of its own."""
        command = ["make", f"PYTHON={sys.executable}", "install"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.begun.append(
            subprocess.Popen(command, cwd=self.folder, env=OUR_OWN, start_new_session=True, **pipes)
        )
        return self.begun[-1]

    def wait_until_asked(self, times: int) -> None:
        limit = time.monotonic() + 60
        while self.times_asked < times:
            assert time.monotonic() < limit, "nothing is built"
            time.sleep(0.05)


OUR_OWN = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PIP_"))}


@pytest.fixture
def clone(tmp_path):
    """In a folder with a space in its name."""
    folder = tmp_path / "a clone"
    folder.mkdir()
    made = Clone(folder)
    yield made
    for process in made.begun:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def test_the_second_waits_for_the_first_and_finds_it_done(clone) -> None:
    clone.slow.touch()
    first = clone.make()
    clone.wait_until_asked(1)
    second = clone.make()
    assert second.stdout.readline() == f"{WAITING}\n"
    clone.slow.unlink()
    assert second.communicate(timeout=60)[0] == ""
    assert first.communicate(timeout=60)[0] == f"{INSTALLING}\n"
    assert (first.returncode, second.returncode) == (0, 0)
    assert clone.times_asked == 1
    assert "Nothing to be done" in (third := clone.make().communicate(timeout=60)[0]), third


def test_what_was_killed_holds_nobody_up(clone) -> None:
    clone.slow.touch()
    killed = clone.make()
    clone.wait_until_asked(1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=60)
    clone.slow.unlink()
    again = clone.make()
    assert again.communicate(timeout=60)[0] == f"{INSTALLING}\n"
    assert again.returncode == 0
    assert clone.times_asked == 2


def test_who_waited_for_a_failure_tries_by_itself(clone) -> None:
    clone.slow.touch()
    (clone.folder / "builder.py").write_text(
        f"{BUILDER}    raise SystemError\n".replace("    return", "    0 #")
    )
    first = clone.make()
    clone.wait_until_asked(1)
    second = clone.make()
    assert second.stdout.readline() == f"{WAITING}\n"
    (clone.folder / "builder.py").write_text(BUILDER)
    clone.slow.unlink()
    first.communicate(timeout=60)
    assert first.returncode != 0
    assert second.communicate(timeout=60)[0] == f"{INSTALLING}\n"
    assert second.returncode == 0


@pytest.mark.parametrize(
    ("poorer", "said"),
    [
        (
            "sys.version_info = (3, 9, 18)",
            "Tulou needs Python 3.11 or newer, and {python} is 3.9: name another one, as in make PYTHON=python3.12 run",
        ),
        (
            "sys.modules['ensurepip'] = None",
            (
                "{python} cannot make a virtual environment: "
                "install its venv package (on Debian and Ubuntu: apt install python3-venv)."
            ),
        ),
    ],
    ids=["old", "no venv"],
)
def test_a_python_that_will_not_do_is_one_sentence(tmp_path, poorer, said) -> None:
    (tmp_path / "scripts").mkdir()
    script = shutil.copy(SCRIPT, tmp_path / "scripts")
    begin = f"sys.argv[1:] = ['run']; runpy.run_path({str(script)!r}, run_name='__main__')"
    program = f"import runpy, sys; {poorer}; {begin}"
    refused = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"{said.format(python=sys.executable)}\n"
    assert not (tmp_path / ".venv").exists()


def test_an_older_python_can_read_it() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 7))


def test_nothing_of_it_shows_in_git() -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", ".venv/install.lock"], cwd=PROJECT, capture_output=True, check=False
    )
    if ignored.returncode == 128:
        pytest.skip("no git checkout")
    assert ignored.returncode == 0
