"""SQL about the limits of single people."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from domains.auth.models import Allowance
from domains.auth.schemas.limits import AllowanceRow, AllowancesState, LimitOverrides
from shared.db.models import columns
from shared.db.preconditions import check_precondition
from shared.db.repository import Repository
from shared.db.statement import Statement

_COLUMNS = columns(Allowance, AllowanceRow)
_BY_USER = select(*_COLUMNS).where(col(Allowance.user_id) == bindparam("user_id_"))
_FIND = Statement(_BY_USER, AllowanceRow)
_LOCK = Statement(_BY_USER.with_for_update(), AllowanceRow)
_ALL = Statement(select(*_COLUMNS), AllowanceRow)
_STATE = Statement(
    select(
        func.count().label("number"),
        func.coalesce(func.sum(Allowance.revision), 0).label("revisions"),
        func.max(Allowance.updated_at).label("latest"),
    ),
    AllowancesState,
)
_NEW = {
    name: bindparam(f"new_{name}", type_=getattr(Allowance, name).type)
    for name in LimitOverrides.model_fields
}
_SAVE = Statement(
    insert(Allowance)
    .values(user_id=bindparam("user_id_"), updated_at=bindparam("now"), revision=1, **_NEW)
    .on_conflict_do_update(
        index_elements=["user_id"],
        set_={**_NEW, "updated_at": bindparam("now"), "revision": col(Allowance.revision) + 1},
    )
    .returning(*_COLUMNS),
    AllowanceRow,
)


class AllowanceRepository(Repository):
    """Reads and writes one row for each person who has limits of their own, or had some."""

    async def find(self, user_id: UUID) -> AllowanceRow:
        """Return a person's limits; if there are none, an empty row with the revision 0."""
        return await self.database.fetch_one(_FIND, user_id_=user_id) or AllowanceRow(user_id=user_id)

    async def lock(self, user_id: UUID) -> AllowanceRow:
        """Return as `find`, to be changed in the open transaction, in which the account is locked.

        Raises PreconditionFailed.
        """
        found = await self.database.fetch_one(_LOCK, user_id_=user_id)
        return check_precondition(found or AllowanceRow(user_id=user_id))

    async def save(self, user_id: UUID, limits: LimitOverrides, now: datetime) -> AllowanceRow:
        """Replace a person's limits, and return them."""
        values = {f"new_{name}": value for name, value in limits.model_dump().items()}
        saved = await self.database.fetch_one(_SAVE, user_id_=user_id, now=now, **values)
        assert saved is not None  # noqa: S101  # an upsert returns its row
        return saved

    async def all(self) -> list[AllowanceRow]:
        """Return everybody's limits."""
        return await self.database.fetch_all(_ALL)

    async def state(self) -> AllowancesState:
        """Return what differs after any change of any row."""
        return await self.database.fetch_one(_STATE) or AllowancesState(number=0, revisions=0, latest=None)
