"""A database records which versions fit it, and each migration that breaks older versions says so."""

import re

import pytest
from alembic.script import ScriptDirectory

from bootstrap.migrations.commenting import history_of
from bootstrap.migrations.lineage import FITS_SINCE, History, Lineage, SchemaStatus, Step, our_history
from bootstrap.migrations.runner import FOLDER
from tests.bootstrap.test_migrations import (
    SCRIPTS,
    change_type,
    drop_column,
    drop_index,
    rename_column,
    require_a_value,
    sql_of,
)

_TAKES_AWAY = re.compile(
    r"\bDROP (?!NOT NULL|DEFAULT)|\bRENAME\b|\bSET NOT NULL\b|ALTER COLUMN \S+ TYPE\b|\bSET DATA TYPE\b"
)
OLD = History([Step("a", None, None), Step("b", "a", None)])


def newer(fits_since: str | None = None) -> str:
    """Return what a database says that a newer version has migrated."""
    steps = [Step("a", None, None), Step("b", "a", None), Step("c", "b", fits_since), Step("d", "c", None)]
    return History(steps).lineage("d").model_dump_json()


def takes_away(sql: str) -> bool:
    """Tell whether a migration drops, renames or changes what the version before may use."""
    return _TAKES_AWAY.search(sql) is not None


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.revision)
def test_a_migration_that_takes_something_away_says_since_when_versions_fit(script) -> None:
    if takes_away(sql_of(script.module.upgrade)):
        assert getattr(script.module, FITS_SINCE, None) is not None, (
            f"{script.path} drops, renames or changes something. Say which versions work with it by a constant:"
            f' {FITS_SINCE} = "<the oldest migration whose code no longer uses it, or this one>".'
        )


@pytest.mark.parametrize("change", [drop_column, drop_index, rename_column, change_type, require_a_value])
def test_what_takes_something_away_is_seen(change) -> None:
    assert takes_away(sql_of(change))


def test_the_constant_names_the_migration_itself_or_one_before_it() -> None:
    history = our_history()
    for revision in history.revisions:
        assert history.lineage(revision).revisions[-1] == revision


def test_the_files_are_read_as_alembic_reads_them() -> None:
    assert our_history()._steps == history_of(ScriptDirectory(str(FOLDER)))._steps
    assert len(our_history().revisions) == len(SCRIPTS)


@pytest.mark.parametrize(
    ("revision", "comment", "status"),
    [
        pytest.param("b", None, SchemaStatus.CURRENT, id="the same"),
        pytest.param("a", None, SchemaStatus.NOT_MIGRATED, id="older"),
        pytest.param(None, None, SchemaStatus.NOT_MIGRATED, id="empty"),
        pytest.param("d", newer(), SchemaStatus.NEWER, id="newer"),
        pytest.param("d", newer("b"), SchemaStatus.NEWER, id="newer, needs this one"),
        pytest.param("d", newer("c"), SchemaStatus.TOO_NEW, id="newer, needs a newer one"),
        pytest.param("d", None, SchemaStatus.TOO_NEW, id="unknown, no comment"),
        pytest.param("d", "made by hand", SchemaStatus.TOO_NEW, id="unknown, another comment"),
        pytest.param("e", newer(), SchemaStatus.TOO_NEW, id="unknown, the comment is about another"),
        pytest.param(
            "d",
            Lineage(revision="d", fits_since="x", revisions=["x", "d"]).model_dump_json(),
            SchemaStatus.TOO_NEW,
            id="of another history",
        ),
        pytest.param("d", newer()[:-1] + ', "more": 1}', SchemaStatus.NEWER, id="a comment that says more"),
    ],
)
def test_a_version_knows_how_a_database_stands_to_it(revision, comment, status: SchemaStatus) -> None:
    assert OLD.status_of(revision, comment) is status


def test_the_newest_constant_counts() -> None:
    steps = [Step("a", None, None), Step("b", "a", "b"), Step("c", "b", "a"), Step("d", "c", "c")]
    history = History(steps)
    assert [history.lineage(revision).fits_since for revision in "abcd"] == ["a", "b", "b", "c"]
