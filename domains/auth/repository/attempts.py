"""SQL about counters of attempts."""

from datetime import datetime

from sqlalchemy import Integer, case, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from domains.auth.models import AttemptKind, Attempts
from domains.auth.schemas.limits import AttemptsRow
from shared.db.models import columns
from shared.db.query import param, query
from shared.db.repository import Repository, unlocked

_CEILING = 1_000_000
"""Counts stop here: a higher one tells nothing, and would end at the column's largest number."""

_by = param("by", Integer())
_is_expired = col(Attempts.expires_at) <= param("now")
_is_counter = (col(Attempts.kind) == param("kind")) & (col(Attempts.key_hash) == param("key"))


class AttemptRepository(Repository):
    """Raises and lowers counters. One row each, so that parallel attempts are all counted."""

    @query(
        insert(Attempts)
        .values(
            kind=param("kind"), key_hash=param("key"), count=_by, under_way=0, expires_at=param("expires_at")
        )
        .on_conflict_do_update(
            index_elements=["kind", "key_hash"],
            set_={
                "count": case((_is_expired, _by), else_=func.least(col(Attempts.count) + _by, _CEILING)),
                "expires_at": case((_is_expired, param("expires_at")), else_=col(Attempts.expires_at)),
            },
        )
        .returning(*columns(Attempts, AttemptsRow))
    )
    async def count_one(
        self, kind: AttemptKind, key: bytes, *, by: int = 1, now: datetime, expires_at: datetime
    ) -> AttemptsRow:
        """Count an attempt; a new window ends at `expires_at`. `by=0` runs the statement without counting."""

    @query(
        select(*columns(Attempts, AttemptsRow)).where(_is_counter, col(Attempts.expires_at) > param("now"))
    )
    async def find(self, kind: AttemptKind, key: bytes, now: datetime) -> AttemptsRow | None:
        """Return a counter whose window has not ended."""

    @query(update(Attempts).where(_is_counter, col(Attempts.count) > 0).values(count=col(Attempts.count) - 1))
    async def take_back(self, kind: AttemptKind, key: bytes) -> None:
        """Take one attempt back."""

    @query(update(Attempts).where(_is_counter).values(count=0))
    async def reset(self, kind: AttemptKind, key: bytes) -> None:
        """Set a counter to zero."""

    @query(
        delete(Attempts).where(
            unlocked(
                tuple_(col(Attempts.kind), col(Attempts.key_hash)), col(Attempts.expires_at) < param("before")
            )
        )
    )
    async def sweep(self, before: datetime) -> None:
        """Delete counters whose window ended before a time."""
