"""SQL about keys. Times are the database's, so that all processes agree on them."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Interval, Uuid, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlmodel import col

from domains.idempotency.models import Key
from domains.idempotency.schemas import KeyRow
from shared.db.models import columns
from shared.db.query import param, query
from shared.db.repository import Repository

_KEY = select(*columns(Key, KeyRow)).where(col(Key.identity) == param("identity"))
_is_expired = col(Key.expires_at) < func.now()
_NEW: dict[str, Any] = {
    "identity": param("identity"),
    "owner_id": param("owner_id", Uuid()),
    "content": param("content"),
    "token": param("token"),
    "lease_expires_at": func.now() + param("lease", Interval()),
    "expires_at": func.now() + param("keep", Interval()),
    "status": None,
    "headers": None,
    "body": None,
    "streamed": None,
}
_INSERT = insert(Key).values(_NEW)
_is_current_attempt = (
    (col(Key.identity) == param("identity")) & (col(Key.token) == param("token")) & col(Key.status).is_(None)
)


class KeyRepository(Repository):
    """Reads and writes keys."""

    @query(
        _INSERT.on_conflict_do_update(
            index_elements=[col(Key.identity)],
            set_={name: _INSERT.excluded[name] for name in _NEW if name != "identity"},
            where=or_(
                _is_expired,
                col(Key.status).is_(None)
                & (col(Key.lease_expires_at) < func.now())
                & (col(Key.content) == _INSERT.excluded.content),
            ),
        )
    )
    async def begin(
        self,
        identity: bytes,
        content: bytes,
        *,
        owner_id: UUID | None,
        token: UUID,
        lease: timedelta,
        keep: timedelta,
    ) -> bool:
        """Claim a request; return False if another attempt holds or has finished it.

        A key that expired, or whose attempt let its lease expire, is claimed anew.
        """

    @query(_KEY)
    async def find(self, identity: bytes) -> KeyRow | None:
        """Return the state of a request."""

    @query(
        _KEY.where(~_is_expired, or_(col(Key.status).is_not(None), col(Key.lease_expires_at) >= func.now()))
    )
    async def find_current(self, identity: bytes) -> KeyRow | None:
        """Return the state of a request that was answered, or whose attempt holds its lease."""

    @query(
        update(Key)
        .where(_is_current_attempt)
        .values(
            status=param("status", Integer()),
            headers=param("headers", JSONB(none_as_null=True)),
            body=param("body"),
            streamed=param("streamed"),
        )
    )
    async def finish(
        self,
        identity: bytes,
        token: UUID,
        *,
        status: int,
        headers: list[list[str]],
        body: bytes | None,
        streamed: bytes | None,
    ) -> bool:
        """Store a response; return False if another attempt has taken over."""

    @query(delete(Key).where(_is_current_attempt))
    async def give_up(self, identity: bytes, token: UUID) -> None:
        """Delete the key of a request that was not done."""

    @query(
        delete(Key).where(
            col(Key.identity).in_(
                select(col(Key.identity))
                .where(_is_expired)
                .limit(param("batch", Integer()))
                .with_for_update(skip_locked=True)
            )
        )
    )
    async def prune(self, *, batch: int) -> int:
        """Delete at most `batch` expired keys; return how many."""

    @query(delete(Key).where(col(Key.owner_id) == param("owner_id", Uuid())))
    async def purge_owner(self, owner_id: UUID) -> None:
        """Delete the keys of an owner."""
