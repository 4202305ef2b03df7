"""Each domain runs alone, so that it could be moved to a service of its own (docs/cutting-out-a-domain.md)."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
DOMAINS = sorted(path.parent.name for path in (PROJECT / "domains").glob("*/__init__.py"))


IMPORTED = re.compile(r"^from ([\w.]+) import", re.MULTILINE)


def service_tests(domain: str) -> list[str]:
    """Return the domain's tests that look at its services and at nothing outside."""
    folder = PROJECT / "tests/domains" / domain
    named = re.compile(rf"^from domains\.{domain}\.service", re.MULTILINE)
    return [
        str(path)
        for path in sorted(folder.glob("test_*.py"))
        if named.search(path.read_text()) and not looks_outside(path)
    ]


def looks_outside(path: Path) -> bool:
    """Whether a file, or what it imports of the tests, needs the whole program."""
    imported = IMPORTED.findall(path.read_text())
    ours = [PROJECT / f"{name.replace('.', '/')}.py" for name in imported if name.startswith("tests.")]
    return any(name.startswith("bootstrap") for name in imported) or any(map(looks_outside, ours))


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_domain_is_composed_and_its_services_work_with_no_other_domain(domain: str) -> None:
    """A domain that `tulou new domain` wrote is only composed, until it has tests of its services."""
    tests = service_tests(domain)
    testing = ["-m", "pytest", "-q", "-p", "tests.architecture.isolation", "--noconftest", *tests]
    composing = [
        "-c",
        f"from tests.architecture.isolation import compose_isolated; compose_isolated({domain!r})",
    ]
    result = subprocess.run(
        [sys.executable, *(testing if tests else composing)],
        cwd=PROJECT,
        env={**os.environ, "ALONE": domain},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert not tests or re.search(r"\d+ passed", result.stdout)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import domains.users.service", "auth stands alone: domains.users.service is not there"),
        ("import bootstrap.container", "auth stands alone: bootstrap is not there"),
        ("import domains.users.public, domains.auth.service.sign_in", ""),
    ],
)
def test_the_boundary_refuses_imports(line: str, said: str) -> None:
    program = f"from tests.architecture.isolation import install_boundary; install_boundary('auth'); {line}"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert said in result.stderr
    assert (result.returncode == 0) == (not said)
