"""Each entry point, run as the user nobody from the wheel, in an environment with only the locked dependencies."""

import importlib.metadata
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer.main
from packaging.requirements import Requirement

from bootstrap.cli.main import app
from bootstrap.settings.env_files import SECRETS
from tests.programs import Program, free_port

PROJECT = Path(__file__).parents[2]
NOBODY = 65534
AS_NOBODY = f"""
import os, sys
if os.geteuid() == 0:
    os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
os.execv(sys.argv[1], sys.argv[1:])
"""


def locked() -> Iterator[importlib.metadata.Distribution]:
    """Yield what requirements/run.txt names for this machine."""
    for line in (PROJECT / "requirements" / "run.txt").read_text().splitlines():
        if re.match(r"[a-z0-9]", line):
            requirement = Requirement(line.removesuffix("\\").strip())
            if requirement.marker is None or requirement.marker.evaluate():
                yield importlib.metadata.distribution(requirement.name)


def link(source: str, target: str) -> None:
    """Link a file: a symbolic link would lead through folders that nobody may not enter."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def python_for_everybody(folder: Path) -> Path:
    """Return this Python, or a copy where it lies in somebody's closed home."""
    base = Path(sys.base_prefix)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    program = base / "bin" / version
    if all(parent.stat().st_mode & stat.S_IXOTH for parent in program.parents):
        return program
    copy = folder / "python"
    unneeded = shutil.ignore_patterns("test", "site-packages", "__pycache__", "config-*")
    shutil.copytree(base / "lib" / version, copy / "lib" / version, copy_function=link, ignore=unneeded)
    for library in (base / "lib").glob("libpython*"):
        link(str(library), str(copy / "lib" / library.name))
    (copy / "bin").mkdir()
    link(str(program.resolve()), str(copy / "bin" / version))
    return copy / "bin" / version


def fill(site: Path) -> None:
    """Put the locked distributions into `site`."""
    tops = {
        Path(str(distribution.locate_file(""))) / file.parts[0]
        for distribution in locked()
        for file in distribution.files or ()
        if file.parts[0] not in {"..", "__pycache__"}
    }
    for top in tops:
        if top.is_dir():
            # With what is compiled already: nobody may write it there, and would compile all of it each time.
            shutil.copytree(top, site / top.name, copy_function=link)
        else:
            link(str(top), str(site / top.name))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that everybody may enter, as those of pytest can't be."""
    made = Path(tempfile.mkdtemp(prefix="tulou-wheel-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def installed(folder: Path) -> Path:
    """The folder `bin` of an environment in which the wheel is installed."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    subprocess.run([*build, str(PROJECT)], check=True, capture_output=True, timeout=100)
    (wheel,) = folder.glob("*.whl")
    home = folder / "venv"
    make = [str(python_for_everybody(folder)), "-I", "-m", "venv", "--without-pip", str(home)]
    subprocess.run(make, check=True, capture_output=True, timeout=100)
    python = home / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(home), "platbase": str(home)}))
    fill(site)
    install = [*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=100)
    return python.parent


@pytest.fixture(scope="module")
def environment(servers, settings, installed: Path, folder: Path) -> dict[str, str]:
    home = folder / "nobody"
    home.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(home, NOBODY, NOBODY)
    # Where Python itself was copied, its shared library lies beside it.
    library = {"LD_LIBRARY_PATH": str(folder / "python" / "lib")} if (folder / "python").exists() else {}
    ours = {
        **library,
        "TULOU_DATA_DIR": str(home),
        "TULOU_FILES_SCRATCH_FOLDER": str(home / "scratch"),
        "HOME": str(home),
    }
    return {**servers.environment, **ours, "PATH": f"{installed}:/usr/bin:/bin", "PWD": str(home)}


@pytest.fixture(scope="module")
def start(installed: Path, environment: dict[str, str]) -> Iterator[Callable[..., Program]]:
    begun: list[Program] = []

    def begin(*arguments: str, **more: str) -> Program:
        program = Program(command(installed, *arguments), environment | more)
        begun.append(program)
        return program

    yield begin
    for program in begun:
        program.stop()


def command(installed: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-I", "-c", AS_NOBODY, str(installed / arguments[0]), *arguments[1:]]


def run(installed: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(installed, *arguments),
        env=environment,
        cwd=environment["TULOU_DATA_DIR"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_program_comes_from_the_wheel_and_is_alone(installed: Path, environment) -> None:
    script = (
        "import os, bootstrap.api.app as api, importlib.util as u;"
        "print(os.geteuid(), api.__file__, [n for n in ('pytest', 'aiosmtpd', 'tools') if u.find_spec(n)])"
    )
    said = run(installed, environment, "python", "-c", script)
    assert said.returncode == 0, said.stderr
    user, file, found = said.stdout.split(maxsplit=2)
    assert user != "0"
    assert file.startswith(str(installed.parent))
    assert found.strip() == "[]"


def test_every_role_works_and_the_doctor_is_content(installed: Path, environment, start) -> None:
    migrated = run(installed, environment, "tulou", "migrate")
    assert migrated.returncode == 0, migrated.stderr
    port = str(free_port())
    liveness_file = str(Path(environment["TULOU_DATA_DIR"]) / "pulse")
    api = start("tulou", "serve", TULOU_PORT=port, TULOU_PUBLIC_URL=f"http://127.0.0.1:{port}")
    relay = start("tulou", "relay", TULOU_PULSE_FILE=liveness_file)
    queues = ("--queue", "default", "--queue", "mail", "--queue", "files")
    worker = start("tulou", "worker", *queues)
    api.wait_until_it_answers(f"http://127.0.0.1:{port}/health/ready")
    relay.wait_for("relay_started")
    worker.wait_for("ready.")
    assert run(installed, environment | {"TULOU_PORT": port}, "tulou-alive").returncode == 0
    assert run(installed, environment | {"TULOU_PORT": str(free_port())}, "tulou-alive").returncode == 1
    examined = run(installed, environment, "tulou", "doctor", "--json")
    found = [check for check in json.loads(examined.stdout)["checks"] if check["state"] != "well"]
    # Jobs of other tests may have failed in this database.
    assert [check for check in found if check["name"] != "failed jobs"] == []
    assert examined.returncode in {0, 3}, examined.stdout + examined.stderr


@pytest.mark.parametrize(
    "arguments", [("settings",), ("jobs", "stats"), ("workers",), ("init-env", "."), ("--help",)]
)
def test_other_commands_work(arguments: tuple[str, ...], installed: Path, environment) -> None:
    said = run(installed, environment, "tulou", *arguments)
    assert said.returncode == 0, said.stderr
    if arguments[0] == "init-env":
        written = Path(environment["TULOU_DATA_DIR"]) / "secrets"
        assert {path.name for path in written.iterdir()} == set(SECRETS)


def test_commands_for_developers_are_in_a_checkout_and_not_in_the_wheel(installed: Path, environment) -> None:
    for name in ("dev", "new", "remove", "domains", "make-migration"):
        assert name in typer.main.get_command(app).commands
        refused = run(installed, environment, "tulou", name)
        assert refused.returncode == 2
        assert f"No such command '{name}'" in refused.stderr
