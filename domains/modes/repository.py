"""SQL about modes."""

from datetime import datetime

from sqlalchemy import DateTime, Text, func, select
from sqlalchemy.dialects.postgresql import insert

from domains.modes.models import StoredMode
from domains.modes.public import Mode
from domains.modes.schemas import ModeRow
from shared.db.models import columns
from shared.db.query import param, query
from shared.db.repository import Repository

_VALUES = {
    "single": True,
    "mode": param("mode", Text()),
    "message": param("message", Text()),
    "until": param("until", DateTime(timezone=True)),
    "changed_at": func.now(),
}
_INSERT = insert(StoredMode).values(_VALUES)


class ModeRepository(Repository):
    """The row of `modes.modes`."""

    async def find(self) -> ModeRow:
        """Return the mode that operators have set."""
        return await self._find() or ModeRow()

    @query(select(*columns(StoredMode, ModeRow)))
    async def _find(self) -> ModeRow | None: ...

    @query(
        _INSERT.on_conflict_do_update(
            index_elements=["single"],
            set_={name: _INSERT.excluded[name] for name in _VALUES if name != "single"},
        )
    )
    async def write(self, mode: Mode, *, message: str | None, until: datetime | None) -> None:
        """Set the mode of all processes."""
