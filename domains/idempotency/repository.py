"""The only SQL about keys. Moments are the database's: all processes agree on them."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Interval, Uuid, bindparam, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlmodel import col

from domains.idempotency.models import Key
from domains.idempotency.schemas import KeyRow, TokenRow
from shared.db.models import columns
from shared.db.repository import Repository
from shared.db.statement import Nothing, Statement

_now = func.now()
_is_expired = col(Key.expires_at) < _now
_NEW: dict[str, Any] = {
    "identity": bindparam("identity_"),
    "owner_id": bindparam("owner_id_", type_=Uuid()),
    "content": bindparam("new_content"),
    "token": bindparam("new_token"),
    "lease_expires_at": _now + bindparam("lease", type_=Interval()),
    "expires_at": _now + bindparam("keep", type_=Interval()),
    "status": None,
    "headers": None,
    "body": None,
    "streamed": None,
}
_INSERT = insert(Key).values(_NEW)
_BEGIN = Statement(
    _INSERT.on_conflict_do_update(
        index_elements=[col(Key.identity)],
        set_={name: _INSERT.excluded[name] for name in _NEW if name != "identity"},
        where=or_(
            _is_expired,
            col(Key.status).is_(None)
            & (col(Key.lease_expires_at) < _now)
            & (col(Key.content) == _INSERT.excluded.content),
        ),
    ).returning(col(Key.token)),
    TokenRow,
)
_FIND = Statement(select(*columns(Key, KeyRow)).where(col(Key.identity) == bindparam("identity_")), KeyRow)
_FIND_CURRENT = Statement(
    select(*columns(Key, KeyRow)).where(
        col(Key.identity) == bindparam("identity_"),
        ~_is_expired,
        or_(col(Key.status).is_not(None), col(Key.lease_expires_at) >= _now),
    ),
    KeyRow,
)
_is_current_attempt = (
    (col(Key.identity) == bindparam("identity_"))
    & (col(Key.token) == bindparam("token_"))
    & col(Key.status).is_(None)
)
_FINISH = Statement(
    update(Key)
    .where(_is_current_attempt)
    .values(
        status=bindparam("new_status", type_=Integer()),
        headers=bindparam("new_headers", type_=JSONB(none_as_null=True)),
        body=bindparam("new_body"),
        streamed=bindparam("new_streamed"),
    ),
    Nothing,
)
_GIVE_UP = Statement(delete(Key).where(_is_current_attempt), Nothing)
_PRUNE = Statement(
    delete(Key).where(
        col(Key.identity).in_(
            select(col(Key.identity))
            .where(_is_expired)
            .limit(bindparam("batch", type_=Integer()))
            .with_for_update(skip_locked=True)
        )
    ),
    Nothing,
)
_PURGE_OWNER = Statement(
    delete(Key).where(col(Key.owner_id) == bindparam("owner_id_", type_=Uuid())), Nothing
)


class KeyRepository(Repository):
    """Writes keys."""

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
        """Write that a request is worked on; return whether it is ours: new, forgotten, or left by who died."""
        begun = await self.database.fetch_one(
            _BEGIN,
            identity_=identity,
            new_content=content,
            owner_id_=owner_id,
            new_token=token,
            lease=lease,
            keep=keep,
        )
        return begun is not None

    async def find(self, identity: bytes) -> KeyRow | None:
        """Return how far a request is."""
        return await self.database.fetch_one(_FIND, identity_=identity)

    async def find_current(self, identity: bytes) -> KeyRow | None:
        """Return how far a request is that was answered, or that is being worked on."""
        return await self.database.fetch_one(_FIND_CURRENT, identity_=identity)

    async def finish(self, identity: bytes, token: UUID, **response: Any) -> bool:
        """Write an answer (status, headers, body, streamed); return whether the request was still ours."""
        values = {f"new_{name}": value for name, value in response.items()}
        return await self.database.execute(_FINISH, identity_=identity, token_=token, **values) > 0

    async def give_up(self, identity: bytes, token: UUID) -> None:
        """Forget a request that was not done."""
        await self.database.execute(_GIVE_UP, identity_=identity, token_=token)

    async def prune(self, *, batch: int) -> int:
        """Forget at most `batch` keys that are over; return how many."""
        return await self.database.execute(_PRUNE, batch=batch)

    async def purge_owner(self, owner_id: UUID) -> None:
        """Forget somebody's keys."""
        await self.database.execute(_PURGE_OWNER, owner_id_=owner_id)
