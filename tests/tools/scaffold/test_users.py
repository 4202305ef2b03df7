"""The domain users has the files, classes and methods of a generated domain, in the same order."""

import ast
from pathlib import Path

import pytest

from tools.scaffold.new_domain import PARTS, files_of
from tools.scaffold.plan import plan_domain

USERS = Path(__file__).parents[3] / "domains/users"
FIELDS = ("email:email:unique", "name:str:optional", "locale:str:optional")
REGISTERED = "People register (auth), so that nobody learns whether an address has an account."
CLOSED = "An account is closed by auth, which erases the user in a job."
EXCEPTIONS = {
    "errors": {"EmailTaken": REGISTERED},
    "public": {"UserCreated": REGISTERED, "UserDeleted": CLOSED},
    "router": {
        "create_user": REGISTERED,
        "change_user": "People change themselves (`change_me`); auth changes roles.",
        "delete_user": CLOSED,
    },
    "schemas": {"UserCreate": REGISTERED},
    "service": {"UserService.create": REGISTERED, "UserService.delete": CLOSED},
}


def _generated(part: str) -> str:
    files = files_of(plan_domain("members", FIELDS))
    text = files[f"domains/members/{part}.py"]
    return text.replace("Member", "User").replace("member", "user")


def _names(source: str) -> list[str]:
    """Return the classes, functions and public methods of a module, in their order."""
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node.name)
        if isinstance(node, ast.ClassDef):
            methods = [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
            found += [f"{node.name}.{method.name}" for method in methods]
    return found


@pytest.mark.parametrize("part", PARTS)
def test_users_has_what_the_generator_writes_in_the_same_order(part: str) -> None:
    exceptions = EXCEPTIONS.get(part, {})
    generated, written = _names(_generated(part)), _names((USERS / f"{part}.py").read_text())
    assert [name for name in generated if name not in written] == list(exceptions)
    common = [name for name in generated if name in written]
    assert [name for name in written if name in common] == common


def test_few_exceptions_are_made() -> None:
    assert sum(map(len, EXCEPTIONS.values())) < 10
