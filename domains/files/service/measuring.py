"""Metrics of files."""

from collections.abc import Sequence
from dataclasses import dataclass

from domains.files.repository.storage import StorageRepository
from shared.measures import Measure


@dataclass(kw_only=True, eq=False)
class FileMeasures:
    """Implements `Measures`."""

    storage: StorageRepository
    fresh_for: float = 60.0

    async def measure(self) -> Sequence[Measure]:
        """Return bytes and numbers of files."""
        totals = await self.storage.totals()
        return [
            Measure(
                "tulou_files_bytes",
                "Bytes of all files as people see them; equal ones are stored once.",
                [((), totals.bytes)],
            ),
            Measure(
                "tulou_files_reserved_bytes",
                "Bytes reserved for unfinished uploads.",
                [((), totals.reserved)],
            ),
            Measure("tulou_files", "Files, unfinished uploads included.", [((), totals.count)]),
            Measure(
                "tulou_files_unsettled",
                "Files that are uploading or processing.",
                [(("uploading",), totals.uploading), (("processing",), totals.processing)],
                ("state",),
            ),
        ]
