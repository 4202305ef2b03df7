"""`tulou domains` describes the program, and docs/map.md is up to date."""

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from bootstrap.cli.main import app
from tools.scaffold import drawing
from tools.scaffold.domain_map import Summary, domain_map


@pytest.fixture(scope="module")
def summaries() -> list[Summary]:
    return domain_map()


def test_the_page_is_not_stale(summaries: list[Summary]) -> None:
    assert drawing.PAGE.read_text() == drawing.page(summaries), "stale: run `make format`"


def test_a_summary_tells_everything_about_its_domain(summaries: list[Summary]) -> None:
    auth = next(summary for summary in summaries if summary.name == "auth")
    assert auth.dependencies["users"] == ["lookup"]
    assert auth.dependencies["emails"] == ["mailer"]
    assert "auth.purge_account on AccountDeleted" in auth.jobs
    assert "POST /v1/auth/register" in auth.routes
    assert "sessions" in auth.tables
    assert "AccountDeleted" in auth.public_api.events
    assert auth.lines > 1000
    users = next(summary for summary in summaries if summary.name == "users")
    assert "find_by_address" in users.public_api.protocols["UserDirectory"]


def test_reactions_to_other_domains_are_drawn(summaries: list[Summary]) -> None:
    lower, higher = summaries[0], summaries[-1]
    higher.reacts_to[lower.name] = ["SomethingHappened"]
    try:
        assert f"{lower.name} -. SomethingHappened .-> {higher.name}" in drawing.mermaid(summaries)
    finally:
        del higher.reacts_to[lower.name]


def printed(*arguments: str, columns: int = 80) -> str:
    finished = CliRunner().invoke(app, ["domains", *arguments], env={"COLUMNS": str(columns)})
    assert finished.exit_code == 0, finished.output
    return finished.output


def test_all_of_them_fit_into_a_terminal(summaries: list[Summary]) -> None:
    shown = f"\n{printed()}"
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80
    assert "\nusers: Profiles of users: mail address, name and language.\n" in shown
    names = [summary.name for summary in reversed(summaries)]
    assert sorted(names, key=lambda name: shown.index(f"\n{name}: ")) == names
    for words in ("jobs: outbox; users: lookup; emails: mailer", "UserDirectory", "1 table, "):
        assert words in shown


def test_one_of_them_is_told_in_full() -> None:
    shown = printed("auth")
    for words in ("auth.purge_account on AccountDeleted", "POST /v1/auth/register", "auth.sessions"):
        assert words in shown
    assert "UserDirectory" not in shown
    assert "find_by_address" in printed("users")


def test_one_that_is_not_there_is_a_sentence() -> None:
    finished = CliRunner().invoke(app, ["domains", "zoo"])
    assert finished.exit_code == 1
    assert "There is no domain zoo; there are" in finished.output


@pytest.mark.parametrize("count", [0, 1, 2])
def test_one_of_something_is_said_in_the_singular(summaries: list[Summary], count: int, capsys) -> None:
    drawing.print_summaries([replace(summaries[0], tables=["some"] * count)])
    assert {0: "no tables, ", 1: "1 table, ", 2: "2 tables, "}[count] in capsys.readouterr().out
