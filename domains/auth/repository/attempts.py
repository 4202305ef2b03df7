"""SQL about counters of attempts."""

from datetime import datetime

from sqlalchemy import Integer, bindparam, case, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from domains.auth.models import AttemptKind, Attempts
from domains.auth.schemas.limits import AttemptsRow
from shared.db.repository import Repository, unlocked
from shared.db.statement import Nothing, Statement

_CEILING = 1_000_000
"""Counting further tells nothing, and would end at the column's largest number."""

_is_expired = col(Attempts.expires_at) <= bindparam("now")
_by = bindparam("by", type_=Integer())
_RAISE = Statement(
    insert(Attempts)
    .values(
        kind=bindparam("kind_"),
        key_hash=bindparam("key_"),
        count=_by,
        under_way=0,
        expires_at=bindparam("new_expires_at"),
    )
    .on_conflict_do_update(
        index_elements=["kind", "key_hash"],
        set_={
            "count": case((_is_expired, _by), else_=func.least(col(Attempts.count) + _by, _CEILING)),
            "expires_at": case((_is_expired, bindparam("new_expires_at")), else_=col(Attempts.expires_at)),
        },
    )
    .returning(col(Attempts.count), col(Attempts.expires_at)),
    AttemptsRow,
)
_this = (col(Attempts.kind) == bindparam("kind_"), col(Attempts.key_hash) == bindparam("key_"))
_FIND = Statement(
    select(col(Attempts.count), col(Attempts.expires_at)).where(
        *_this, col(Attempts.expires_at) > bindparam("now")
    ),
    AttemptsRow,
)
_TAKE_BACK = Statement(
    update(Attempts).where(*_this, col(Attempts.count) > 0).values(count=col(Attempts.count) - 1), Nothing
)
_RESET = Statement(update(Attempts).where(*_this).values(count=0), Nothing)
_SWEEP = Statement(
    delete(Attempts).where(
        unlocked(
            tuple_(col(Attempts.kind), col(Attempts.key_hash)), col(Attempts.expires_at) < bindparam("before")
        )
    ),
    Nothing,
)


class AttemptRepository(Repository):
    """Raises and lowers counters. One row each, so that parallel attempts are all counted."""

    async def count_one(
        self, kind: AttemptKind, key: bytes, *, by: int = 1, now: datetime, expires_at: datetime
    ) -> AttemptsRow:
        """Count an attempt; a new window ends at `expires_at`. `by=0` runs the statement without counting."""
        row = await self.database.fetch_one(
            _RAISE, kind_=kind.value, key_=key, by=by, now=now, new_expires_at=expires_at
        )
        assert row is not None  # noqa: S101  # an upsert returns its row
        return row

    async def find(self, kind: AttemptKind, key: bytes, now: datetime) -> AttemptsRow | None:
        """Return a counter whose window has not ended."""
        return await self.database.fetch_one(_FIND, kind_=kind.value, key_=key, now=now)

    async def take_back(self, kind: AttemptKind, key: bytes) -> None:
        """Uncount an attempt that was none."""
        await self.database.execute(_TAKE_BACK, kind_=kind.value, key_=key)

    async def reset(self, kind: AttemptKind, key: bytes) -> None:
        """Forget the failures."""
        await self.database.execute(_RESET, kind_=kind.value, key_=key)

    async def sweep(self, before: datetime) -> None:
        """Delete counters whose window is over."""
        await self.database.execute(_SWEEP, before=before)
