"""`tulou domains` tells what the program is, and docs/map.md is not stale."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bootstrap.cli import app
from bootstrap.scaffold import drawing
from bootstrap.scaffold.atlas import Sheet, atlas

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def sheets() -> list[Sheet]:
    return atlas()


def test_the_page_is_not_stale(sheets: list[Sheet]) -> None:
    written = (DOCS / "map.md").read_text()
    assert written == drawing.page(sheets), "stale: run `make format`"
    assert (DOCS / "map.svg").read_text() == drawing.svg(sheets), "stale: run `make format`"


def test_a_sheet_tells_everything_about_its_domain(sheets: list[Sheet]) -> None:
    auth = next(sheet for sheet in sheets if sheet.name == "auth")
    assert auth.needs["users"] == ["directory"]
    assert auth.needs["emails"] == ["mailer"]
    assert "auth.purge_account on AccountDeleted" in auth.jobs
    assert "POST /v1/auth/register" in auth.routes
    assert "sessions" in auth.tables
    assert "AccountDeleted" in auth.face.events
    assert auth.lines > 1000
    users = next(sheet for sheet in sheets if sheet.name == "users")
    assert "find_by_address" in users.face.questions["UserDirectory"]


def test_reactions_to_other_domains_are_drawn(sheets: list[Sheet]) -> None:
    lower, higher = sheets[0], sheets[-1]
    higher.reacts_to[lower.name] = ["SomethingHappened"]
    try:
        assert f"{lower.name} -. SomethingHappened .-> {higher.name}" in drawing.mermaid(sheets)
        assert "<title>event: SomethingHappened</title>" in drawing.svg(sheets)
    finally:
        del higher.reacts_to[lower.name]


@pytest.mark.parametrize(
    ("options", "said"), [([], "UserDirectory"), (["--mermaid"], "flowchart BT"), (["--svg"], "<svg ")]
)
def test_the_command_prints_it(options: list[str], said: str) -> None:
    printed = CliRunner().invoke(app, ["domains", *options], env={"COLUMNS": "200"})
    assert printed.exit_code == 0, printed.output
    assert said in printed.output
