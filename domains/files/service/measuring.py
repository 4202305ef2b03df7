"""How much is stored, for monitoring."""

from collections.abc import Sequence
from typing import Protocol

from domains.files.schemas import TotalsRow
from shared.measures import Measure


class Totals(Protocol):
    """What this needs of the repository."""

    async def totals(self) -> TotalsRow:
        """Return what everybody keeps together."""
        ...


class FileMeasures:
    """Implements `shared.measures.Measures`."""

    fresh_for = 60.0

    def __init__(self, rows: Totals) -> None:
        self._rows = rows

    async def measure(self) -> Sequence[Measure]:
        """Return bytes and numbers of files."""
        totals = await self._rows.totals()
        return [
            Measure(
                "tulou_files_bytes",
                "Bytes of all files as people see them; equal ones are stored once.",
                [((), totals.bytes)],
            ),
            Measure(
                "tulou_files_reserved_bytes",
                "Bytes promised to uploads that are under way.",
                [((), totals.reserved)],
            ),
            Measure("tulou_files", "Files, and uploads under way.", [((), totals.count)]),
            Measure(
                "tulou_files_unsettled",
                "Files whose bytes arrive, or whose jobs aren't over.",
                [(("uploading",), totals.uploading), (("processing",), totals.processing)],
                ("state",),
            ),
        ]
