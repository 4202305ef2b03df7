"""The import contracts hold, and each fails when it is broken."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PACKAGES = ("bootstrap", "domains", "shared")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the program, to break it."""
    folder = tmp_path_factory.mktemp("broken")
    for package in PACKAGES:
        shutil.copytree(PROJECT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", folder)
    return folder


def test_every_contract_holds(copy: Path) -> None:
    result = lint(copy)
    assert result.returncode == 0, result.stdout


REMEDY = {
    "bootstrap -> domains -> shared": "belongs into shared/",
    "Inside a domain": "Upper layers see the lower ones",
    "A domain sees of another only": "an answer (a Protocol in its public.py",
    "Domains never form a circle": "it publishes an event",
    "Packages never form a cycle": "Move what both need into a module below them",
    "Services and public APIs know no": "A service is plain Python",
    "Routers and tasks touch no table": "call one method of a service",
}


@pytest.mark.parametrize(
    ("contract", "file", "line"),
    [
        ("bootstrap -> domains -> shared", "shared/clock.py", "import domains.jobs.public"),
        ("bootstrap -> domains -> shared", "domains/jobs/public.py", "import bootstrap.settings.model"),
        ("Inside a domain", "domains/jobs/public.py", "import domains.jobs.models"),
        ("Inside a domain", "domains/jobs/errors.py", "import domains.jobs.public"),
        ("Inside a domain", "domains/jobs/models.py", "import domains.jobs.schemas"),
        ("Inside a domain", "domains/jobs/gateway/wake_ups.py", "import domains.jobs.repository.jobs"),
        ("Inside a domain", "domains/jobs/service/store.py", "import domains.jobs.router"),
        ("Inside a domain", "domains/jobs/job_types.py", "import domains.jobs.repository.jobs"),
        ("Inside a domain", "domains/jobs/service/store.py", "import domains.jobs.commands.app"),
        ("Inside a domain", "domains/jobs/helpers.py", ""),
        ("A domain sees of another only", "domains/files/public.py", "import domains.jobs.service.jobs"),
        ("A domain sees of another only", "domains/files/public.py", "import domains.jobs.models"),
        ("Domains never form a circle", "domains/jobs/public.py", "import domains.files.public"),
        ("Packages never form a cycle", "bootstrap/settings/model.py", "import bootstrap.cli.main"),
        ("Packages never form a cycle", "shared/ids.py", "import shared.http.routing"),
        ("Services and public APIs know no", "domains/jobs/service/store.py", "import fastapi"),
        ("Services and public APIs know no", "domains/jobs/service/store.py", "import celery"),
        ("Services and public APIs know no", "domains/jobs/public.py", "import dependency_injector"),
        ("Routers and tasks touch no table", "domains/jobs/tasks.py", "import domains.jobs.models"),
        ("Routers and tasks touch no table", "domains/jobs/router.py", "import sqlalchemy"),
    ],
)
def test_a_broken_contract_is_seen(copy: Path, contract: str, file: str, line: str) -> None:
    path = copy / file
    before = path.read_text() if path.exists() else None
    path.write_text(f"{before or ''}\n{line}\n")
    try:
        result = lint(copy)
    finally:
        path.unlink() if before is None else path.write_text(before)
    assert result.returncode != 0
    said = " ".join(result.stdout.split())
    assert any(contract in row and "BROKEN" in row for row in result.stdout.splitlines()), result.stdout
    assert REMEDY[contract] in said


def test_a_broken_boundary_names_the_public_api(copy: Path) -> None:
    path = copy / "domains/auth/service/audit_log.py"
    before = path.read_text()
    path.write_text(f"{before}\nimport domains.users.service\n")
    try:
        said = " ".join(lint(copy).stdout.split())
    finally:
        path.write_text(before)
    assert "`domains.users.public` offers `UserDirectory.find`," in said
