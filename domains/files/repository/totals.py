"""What everybody keeps together, for monitoring."""

from sqlalchemy import func, select
from sqlmodel import col

from domains.files.models import File, FileStatus, Usage
from domains.files.schemas import TotalsRow
from shared.db.repository import Repository
from shared.db.statement import Statement


def _count_in_status(status: FileStatus) -> object:
    found = select(func.count()).select_from(File).where(col(File.status) == status)
    return found.scalar_subquery().label(status.value)


_TOTALS = Statement(
    select(  # type: ignore[call-overload]  # labels of subqueries
        func.coalesce(func.sum(Usage.bytes), 0).label("bytes"),
        func.coalesce(func.sum(Usage.reserved), 0).label("reserved"),
        func.coalesce(func.sum(Usage.count), 0).label("count"),
        _count_in_status(FileStatus.UPLOADING),
        _count_in_status(FileStatus.PROCESSING),
    ),
    TotalsRow,
)


class TotalsRepository(Repository):
    """Sums over people: a row each, however many files they have."""

    async def totals(self) -> TotalsRow:
        """Return the sums."""
        found = await self.database.fetch_one(_TOTALS)
        return found or TotalsRow(bytes=0, reserved=0, count=0, uploading=0, processing=0)
