"""SQL about the limits of single people."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from domains.auth.models import Allowance
from domains.auth.schemas.limits import AllowanceRow, AllowancesState, LimitOverrides
from shared.db.models import columns
from shared.db.preconditions import check_precondition
from shared.db.query import param, query
from shared.db.repository import Repository

_COLUMNS = columns(Allowance, AllowanceRow)
_BY_USER = select(*_COLUMNS).where(col(Allowance.user_id) == param("user_id"))
_NEW = {name: param(name, getattr(Allowance, name).type) for name in LimitOverrides.model_fields}


class AllowanceRepository(Repository):
    """Reads and writes a row for each person who has, or had, limits that override the settings."""

    async def find(self, user_id: UUID) -> AllowanceRow:
        """Return a person's limits; if there are none, an empty row with the revision 0."""
        return await self._find(user_id) or AllowanceRow(user_id=user_id)

    @query(_BY_USER)
    async def _find(self, user_id: UUID) -> AllowanceRow | None: ...

    async def lock(self, user_id: UUID) -> AllowanceRow:
        """Return as `find`, to be changed in the open transaction, in which the account is locked.

        Raises PreconditionFailed.
        """
        return check_precondition(await self._lock(user_id) or AllowanceRow(user_id=user_id))

    @query(_BY_USER.with_for_update())
    async def _lock(self, user_id: UUID) -> AllowanceRow | None: ...

    @query(
        insert(Allowance)
        .values(user_id=param("user_id"), updated_at=param("now"), revision=1, **_NEW)
        .on_conflict_do_update(
            index_elements=["user_id"],
            set_={**_NEW, "updated_at": param("now"), "revision": col(Allowance.revision) + 1},
        )
        .returning(*_COLUMNS)
    )
    async def save_limits(
        self,
        user_id: UUID,
        now: datetime,
        *,
        max_bytes: int | None,
        max_files: int | None,
        max_requests: int | None,
    ) -> AllowanceRow:
        """Replace a person's limits, and return them."""

    @query(select(*_COLUMNS))
    async def all(self) -> list[AllowanceRow]:
        """Return the limits of all people who have some."""

    @query(
        select(
            func.count().label("number"),
            func.coalesce(func.sum(Allowance.revision), 0).label("revisions"),
            func.max(Allowance.updated_at).label("latest"),
        )
    )
    async def state(self) -> AllowancesState:
        """Return what differs after any change of any row."""
