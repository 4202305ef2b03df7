"""Restores of a newer schema's backup by an older version that still works with this schema."""

from collections.abc import AsyncIterator, Sequence

from bootstrap.backup.errors import BackupRefused
from bootstrap.backup.manifest import Manifest, TablePart
from bootstrap.backup.tables import SqlTable
from bootstrap.migrations.lineage import our_history

_BY_HAND = (
    "The backup's tables are not those of its migration: they were changed by hand. Nothing was changed."
)


class SchemaCompatibility:
    """How the tables of a backup become those of this version. `revision` is the migration to load them at.

    Raises:
        BackupRefused: this version lacks the backup's migration and does not work with its schema.
    """

    def __init__(self, manifest: Manifest) -> None:
        history = our_history()
        self._manifest = manifest
        self.is_newer = manifest.revision not in history.revisions
        lineage = manifest.lineage
        has_lineage = lineage is not None and lineage.revision == manifest.revision
        if self.is_newer and not (lineage is not None and has_lineage and lineage.fits(history.head)):
            raise BackupRefused(
                f"The backup was taken by another version of the program ({manifest.program}, migration"
                f" {manifest.revision}), whose schema this one doesn't work with. Restore it with that version or a"
                " newer one. Nothing was changed."
            )
        self.revision = (history.head if self.is_newer else None) or manifest.revision
        self.left_out: list[str] = []
        """Tables and columns of newer migrations, which this version does not have."""

    def parts(self, tables: Sequence[SqlTable]) -> dict[str, TablePart]:
        """Return the part of each table; note what is left out.

        Raises:
            BackupRefused: it lacks tables or columns of its migration.
        """
        parts = {part.full_name: part for part in self._manifest.tables}
        columns = {table.full_name: table.columns for table in tables}
        if not self.is_newer and columns != {name: part.columns for name, part in parts.items()}:
            raise BackupRefused(_BY_HAND)
        for name, expected in columns.items():
            if name not in parts or not set(expected) <= set(parts[name].columns):
                raise BackupRefused(_BY_HAND)
        self.left_out = sorted(
            [
                *(name for name in parts if name not in columns),
                *(
                    f"{name}.{more}"
                    for name in columns
                    for more in set(parts[name].columns) - {*columns[name]}
                ),
            ]
        )
        return parts

    @property
    def warnings(self) -> list[str]:
        """Warnings for the operator."""
        if not self.left_out:
            return []
        names = ", ".join(self.left_out)
        revision = self._manifest.revision
        return [f"The backup has a newer migration, {revision}. This version has no {names}: left out."]


def rows_of(part: TablePart, table: SqlTable, rows: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return the rows with the columns of the table, in the text format of COPY."""
    if part.columns == table.columns:
        return rows
    return _chosen(rows, [part.columns.index(name) for name in table.columns])


async def _chosen(rows: AsyncIterator[bytes], positions: list[int]) -> AsyncIterator[bytes]:
    """Yield some columns of each row. In the text format a tab or a line's end within a value is escaped."""
    begun = b""
    async for piece in rows:
        *lines, begun = (begun + piece).split(b"\n")
        chosen = [_line(line, positions) for line in lines]
        if chosen:
            yield b"".join(chosen)


def _line(line: bytes, positions: list[int]) -> bytes:
    values = line.split(b"\t")
    if len(values) <= max(positions):
        raise BackupRefused(_BY_HAND)
    return b"\t".join(values[position] for position in positions) + b"\n"
