"""The only SQL about modes."""

from datetime import datetime

from sqlalchemy import DateTime, Text, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert

from domains.modes.models import StoredMode
from domains.modes.public import Mode
from domains.modes.schemas import ModeRow
from shared.db.models import columns
from shared.db.repository import Repository
from shared.db.statement import Nothing, Statement

_VALUES = {
    "single": True,
    "mode": bindparam("new_mode", type_=Text()),
    "message": bindparam("new_message", type_=Text()),
    "until": bindparam("new_until", type_=DateTime(timezone=True)),
    "changed_at": func.now(),
}
_INSERT = insert(StoredMode).values(_VALUES)
_SET = Statement(
    _INSERT.on_conflict_do_update(
        index_elements=["single"], set_={name: _INSERT.excluded[name] for name in _VALUES if name != "single"}
    ),
    Nothing,
)
_FIND = Statement(select(*columns(StoredMode, ModeRow)), ModeRow)


class ModeRepository(Repository):
    """The row of `modes.modes`."""

    async def find(self) -> ModeRow:
        """Return what operators have set."""
        return await self.database.fetch_one(_FIND) or ModeRow()

    async def write(self, mode: Mode, *, message: str | None, until: datetime | None) -> None:
        """Set the mode of all processes."""
        await self.database.execute(_SET, new_mode=mode.value, new_message=message, new_until=until)
