"""`make watch` runs the tests of the files that were saved."""

import os
from pathlib import Path

import pytest

from tools.scaffold.last_saved import last_saved, suite_of

RULES = "tests/architecture/test_rules.py"


@pytest.mark.parametrize(
    ("saved", "run"),
    [
        ("domains/users/service.py", ["tests/domains/users", RULES]),
        ("domains/auth/templates/hello.html", ["tests/domains/auth", RULES]),
        ("tests/domains/auth/conftest.py", ["tests/domains/auth", RULES]),
        ("tests/domains/auth/test_gateway.py", ["tests/domains/auth/test_gateway.py"]),
        ("shared/clock.py", ["tests/shared", RULES]),
        ("bootstrap/cli/main.py", ["tests/bootstrap", RULES]),
        ("tests/conftest.py", [RULES]),
    ],
)
def test_a_file_has_its_tests(saved: str, run: list[str]) -> None:
    assert suite_of(Path(saved)) == run


def test_the_last_saved_file_is_found(tmp_path: Path) -> None:
    for name, moment in (("domains/a.py", 1), ("shared/b.py", 3), ("tests/c.py", 2)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (moment, moment))
    assert last_saved(tmp_path) == Path("shared/b.py")
