"""Compatibility of versions of the program with a database's schema.

Migrations only add, so that a program goes on working on the schema of a newer one. The database says so itself:
`tulou migrate` writes a `Lineage` as JSON into the comment of the table `alembic_version`. An older program, which
knows nothing of the newer migrations, reads there whether it still fits.
"""

import ast
from collections.abc import Iterable
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

FOLDER = Path(__file__).parent / "versions"
FITS_SINCE = "fits_since"
"""The constant of a migration that breaks versions before it: the oldest migration whose code works with it."""

REVISION = "SELECT version_num, obj_description('alembic_version'::regclass, 'pg_class') FROM alembic_version"
"""Asks a database for its last migration and the comment. Any role that may read the table may."""


class Lineage(BaseModel):
    """The record in the database about its schema. Later versions may add members."""

    model_config = ConfigDict(extra="ignore")

    revision: str
    """The last migration that was applied."""

    fits_since: str
    """The oldest migration whose program still works with this schema."""

    revisions: list[str]
    """Every migration that was applied, the oldest first."""

    def fits(self, head: str | None) -> bool:
        """Tell whether a program whose last migration is `head` works with this schema."""
        if head not in self.revisions or self.fits_since not in self.revisions:
            return False
        return self.revisions.index(head) >= self.revisions.index(self.fits_since)


class SchemaStatus(StrEnum):
    """State of a database's schema, seen from this program."""

    CURRENT = "current"
    NOT_MIGRATED = "not_migrated"
    """It lacks some or all migrations."""

    NEWER = "newer"
    """A newer version migrated it, and this one still works with it."""

    TOO_NEW = "too_new"
    """This version doesn't know its last migration, and the database doesn't say that it works with it."""

    @property
    def fits(self) -> bool:
        """Whether this program works with it."""
        return self in {SchemaStatus.CURRENT, SchemaStatus.NEWER}


class Step(NamedTuple):
    """One migration."""

    revision: str
    down_revision: str | None
    fits_since: str | None


class History:
    """The migrations of one version of the program, in order."""

    def __init__(self, steps: Iterable[Step]) -> None:
        after = {step.down_revision: step for step in steps}
        self._steps: list[Step] = []
        while step := after.get(self._steps[-1].revision if self._steps else None):
            self._steps.append(step)
        self.revisions = [step.revision for step in self._steps]

    @property
    def head(self) -> str | None:
        """The last one."""
        return self.revisions[-1] if self.revisions else None

    def lineage(self, revision: str) -> Lineage:
        """Return what a database says in which the migrations up to `revision` were applied.

        Raises:
            ValueError: there is no such migration, or one before it names one that isn't there.
        """
        applied = self._steps[: self.revisions.index(revision) + 1]
        names = [step.revision for step in applied]
        named = [names.index(step.fits_since) for step in applied if step.fits_since is not None]
        return Lineage(revision=revision, fits_since=names[max(named, default=0)], revisions=names)

    def status_of(self, revision: str | None, comment: str | None) -> SchemaStatus:
        """Compare a database with this version: its revision, and the comment of its table `alembic_version`."""
        if revision == self.head:
            return SchemaStatus.CURRENT
        if revision is None or revision in self.revisions:
            return SchemaStatus.NOT_MIGRATED
        lineage = lineage_in(comment, revision)
        return SchemaStatus.NEWER if lineage is not None and lineage.fits(self.head) else SchemaStatus.TOO_NEW


def lineage_in(comment: str | None, revision: str) -> Lineage | None:
    """Read the comment of `alembic_version`; None if it says nothing about this revision."""
    try:
        lineage = Lineage.model_validate_json(comment or "")
    except ValidationError:
        return None
    return lineage if lineage.revision == revision else None


@cache
def our_history() -> History:
    """Return the migrations of this version. Read from their files: Alembic is slow to load, and only runs them."""
    return History(_step(ast.parse(path.read_text())) for path in FOLDER.glob("[!_]*.py"))


def sentence_about(status: SchemaStatus, revision: str | None, comment: str | None) -> str:
    """Return the state of a database's schema in a sentence, and what to do."""
    head = our_history().head
    if status is SchemaStatus.CURRENT:
        return "The database is up to date."
    if revision is None or status is SchemaStatus.NOT_MIGRATED:
        return "The database lacks migrations of this version."
    if status is SchemaStatus.NEWER:
        return (
            f"A newer version has migrated this database, up to {revision}. This version (migration {head}) still works"
            " with it, so there is nothing to do."
        )
    if lineage := lineage_in(comment, revision):
        return (
            f"A newer version has migrated this database, up to {revision}. This version (migration {head}) no longer"
            f" works with it: only versions since migration {lineage.fits_since} do. Start such a version, or restore"
            f" a backup of this version."
        )
    return (
        f"This database was migrated up to {revision}, which this version (migration {head}) doesn't have, and it has"
        f" no"
        " record of compatible versions. Start the version that migrated it; a development database can be deleted with"
        " its data folder."
    )


def _step(module: ast.Module) -> Step:
    said = {
        target.id: ast.literal_eval(line.value)
        for line in module.body
        if isinstance(line, ast.Assign) and isinstance(target := line.targets[0], ast.Name)
        if target.id in {"revision", "down_revision", FITS_SINCE}
    }
    return Step(said["revision"], said["down_revision"], said.get(FITS_SINCE))
