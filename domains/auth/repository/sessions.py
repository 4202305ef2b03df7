"""SQL about sessions."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, delete, func, select, update
from sqlmodel import col
from sqlmodel import select as select_model

from domains.auth.models import Account, AccountStatus, EndReason, Session
from domains.auth.schemas.rows import AccountIdRow, CallerRow, FamiliarityRow, NetworkRow
from domains.auth.schemas.sessions import SessionRow
from shared.db.models import columns
from shared.db.pagination import Listing, Page, PageRequest
from shared.db.repository import Repository, unlocked
from shared.db.statement import Nothing, Statement
from shared.db.transaction import current_session, lock_account_first, require_locked_account

_callers = select(
    col(Session.id),
    col(Session.user_id),
    col(Session.ended_at),
    col(Session.absolute_expires_at),
    col(Account.status),
    col(Account.role),
    col(Account.scopes),
).join(Account, col(Account.user_id) == col(Session.user_id))
_CALLER = Statement(_callers.where(col(Session.id) == bindparam("row_id")), CallerRow)
_CALLERS = Statement(
    _callers.where(col(Session.id) == any_(bindparam("ids_", type_=ARRAY(Uuid())))), CallerRow
)
_BY_ID = Statement(
    select(*columns(Session, SessionRow)).where(col(Session.id) == bindparam("row_id")), SessionRow
)
_FAMILIARITY = Statement(
    select(
        func.count().label("earlier"),
        func.count()
        .filter(col(Session.network) == bindparam("network_"), col(Session.agent) == bindparam("agent_"))
        .label("alike"),
    ).where(col(Session.user_id) == bindparam("user_id_"), col(Session.id) != bindparam("row_id")),
    FamiliarityRow,
)
_END = (
    update(Session)
    .where(col(Session.user_id) == bindparam("user_id_"), col(Session.ended_at).is_(None))
    .values(ended_at=bindparam("now"), end_reason=bindparam("reason"))
)
_END_ALL = Statement(_END, Nothing)
_END_ONE = Statement(_END.where(col(Session.id) == bindparam("row_id")), Nothing)
_END_OTHERS = Statement(_END.where(col(Session.id) != bindparam("row_id")), Nothing)
_END_ALL_USERS = Statement(
    update(Session)
    .where(col(Session.ended_at).is_(None))
    .values(ended_at=bindparam("now"), end_reason=bindparam("reason")),
    Nothing,
)
_STAMP = Statement(
    update(Session)
    .where(col(Session.id) == bindparam("row_id"), col(Session.last_used_at) < bindparam("before"))
    .values(last_used_at=bindparam("now")),
    Nothing,
)
_USED_SINCE = Statement(
    select(col(Session.user_id))
    .where(col(Session.user_id) == bindparam("user_id_"), col(Session.last_used_at) > bindparam("since"))
    .limit(1),
    AccountIdRow,
)
_NETWORKS = Statement(
    select(col(Session.network)).where(col(Session.user_id) == bindparam("user_id_")).distinct(), NetworkRow
)
_DELETE = Statement(delete(Session).where(col(Session.user_id) == bindparam("user_id_")), Nothing)
_SWEEP_ENDED = Statement(
    delete(Session).where(unlocked(col(Session.id), col(Session.ended_at) < bindparam("before"))), Nothing
)
_SWEEP_EXPIRED = Statement(
    delete(Session).where(
        unlocked(
            col(Session.id),
            col(Session.idle_expires_at) < bindparam("before"),
            col(Session.ended_at).is_(None),
        )
    ),
    Nothing,
)
_LISTING = Listing(
    select(*columns(Session, SessionRow)).where(
        col(Session.user_id) == bindparam("user_id_"),
        col(Session.ended_at).is_(None),
        col(Session.idle_expires_at) > bindparam("now"),
    ),
    SessionRow,
    key=col(Session.id),
    sorts={"created_at": col(Session.created_at), "last_used_at": col(Session.last_used_at)},
)


class SessionRepository(Repository):
    """Reads and writes sessions."""

    async def caller(self, session_id: UUID) -> CallerRow | None:
        """Return what authenticates a request: the session and its account, in one statement."""
        return await self.database.fetch_one(_CALLER, row_id=session_id)

    async def callers(self, session_ids: Collection[UUID]) -> list[CallerRow]:
        """Return the same for several sessions; deleted ones are missing from the result."""
        return await self.database.fetch_all(_CALLERS, ids_=list(session_ids))

    async def find(self, session_id: UUID) -> SessionRow | None:
        """Return a session."""
        return await self.database.fetch_one(_BY_ID, row_id=session_id)

    async def lock_with_account(self, session_id: UUID) -> tuple[AccountStatus | None, Session | None]:
        """Lock a session and its account; return the account's status and the session.

        PostgreSQL takes the locks of one statement in the order of its `OF`: the account's, then the session's.
        """
        lock_account_first(session_id)
        clause = (
            select_model(col(Account.status), Session)
            .join(Session, col(Session.user_id) == col(Account.user_id))
            .where(col(Session.id) == session_id)
            .with_for_update(of=(Account, Session))
            .execution_options(populate_existing=True)
        )
        found = (await (await current_session()).exec(clause)).one_or_none()
        return (None, None) if found is None else (found[0], found[1])

    async def familiarity(self, session: Session) -> FamiliarityRow:
        """Tell how well this sign-in fits the person's earlier ones."""
        row = await self.database.fetch_one(
            _FAMILIARITY,
            user_id_=session.user_id,
            row_id=session.id,
            network_=session.network,
            agent_=session.agent,
        )
        return row or FamiliarityRow(earlier=0, alike=0)

    async def page(self, user_id: UUID, request: PageRequest, now: datetime) -> Page[SessionRow]:
        """Return a page of a person's living sessions."""
        return await self.fetch_page(_LISTING, request, {}, user_id_=user_id, now=now)

    async def end_one(self, user_id: UUID, session_id: UUID, reason: EndReason, now: datetime) -> bool:
        """End one session of a person; tell whether it was there and living."""
        require_locked_account()
        changed = await self.database.execute(
            _END_ONE, user_id_=user_id, row_id=session_id, reason=reason.value, now=now
        )
        return changed > 0

    async def end_others(self, user_id: UUID, session_id: UUID, reason: EndReason, now: datetime) -> None:
        """End every session of a person but this one."""
        require_locked_account()
        await self.database.execute(
            _END_OTHERS, user_id_=user_id, row_id=session_id, reason=reason.value, now=now
        )

    async def end_all(self, user_id: UUID, reason: EndReason, now: datetime) -> int:
        """End every session of a person; return how many there were."""
        require_locked_account()
        return await self.database.execute(_END_ALL, user_id_=user_id, reason=reason.value, now=now)

    async def end_all_users(self, reason: EndReason, now: datetime) -> int:
        """End every session there is; return how many."""
        return await self.database.execute(_END_ALL_USERS, reason=reason.value, now=now)

    async def stamp(self, session_id: UUID, *, now: datetime, before: datetime) -> None:
        """Note that a session is used, unless that was noted after `before`."""
        await self.database.execute(_STAMP, row_id=session_id, now=now, before=before)

    async def was_used_since(self, user_id: UUID, since: datetime) -> bool:
        """Tell whether a session of the user was used since a moment."""
        return await self.database.fetch_one(_USED_SINCE, user_id_=user_id, since=since) is not None

    async def networks(self, user_id: UUID) -> list[str]:
        """Return the networks that a person has had a session in."""
        return [row.network for row in await self.database.fetch_all(_NETWORKS, user_id_=user_id)]

    async def delete_all_of(self, user_id: UUID) -> None:
        """Delete a person's sessions."""
        require_locked_account()
        await self.database.execute(_DELETE, user_id_=user_id)

    async def sweep(self, before: datetime) -> None:
        """Delete the sessions that ended or expired before a moment."""
        await self.database.execute(_SWEEP_ENDED, before=before)
        await self.database.execute(_SWEEP_EXPIRED, before=before)
