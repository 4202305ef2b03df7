"""SQL about sessions."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, delete, func, select, update
from sqlmodel import col

from domains.auth.models import Account, AccountStatus, EndReason, Session
from domains.auth.repository.account_locks import requires_locked_account
from domains.auth.schemas.rows import CallerRow, FamiliarityRow
from domains.auth.schemas.sessions import SessionRow
from shared.db.models import columns
from shared.db.pagination import Listing, Page, PageRequest
from shared.db.query import param, query
from shared.db.repository import Repository, unlocked
from shared.db.transaction import lock_account_first

_CALLER = select(
    col(Session.id),
    col(Session.user_id),
    col(Session.ended_at),
    col(Session.absolute_expires_at),
    col(Account.status),
    col(Account.role),
    col(Account.scopes),
).join(Account, col(Account.user_id) == col(Session.user_id))
_END = (
    update(Session)
    .where(col(Session.ended_at).is_(None))
    .values(ended_at=param("now"), end_reason=param("reason"))
)
_is_of_user = col(Session.user_id) == param("user_id")
_is_session = col(Session.id) == param("session_id")
_LISTING = Listing(
    select(*columns(Session, SessionRow)).where(
        col(Session.user_id) == param("user_id"),
        col(Session.ended_at).is_(None),
        col(Session.idle_expires_at) > param("now"),
    ),
    SessionRow,
    key=col(Session.id),
    sorts={"created_at": col(Session.created_at), "last_used_at": col(Session.last_used_at)},
)


class SessionRepository(Repository):
    """Reads and writes sessions."""

    @query(_CALLER.where(_is_session))
    async def find_caller(self, session_id: UUID) -> CallerRow | None:
        """Return what authenticates a request: the session and its account, in one statement."""

    @query(_CALLER.where(col(Session.id) == any_(param("session_ids", ARRAY(Uuid())))))
    async def find_callers(self, session_ids: Collection[UUID]) -> list[CallerRow]:
        """Return the same for several sessions; deleted ones are missing from the result."""

    @query(select(*columns(Session, SessionRow)).where(_is_session))
    async def find(self, session_id: UUID) -> SessionRow | None:
        """Return a session."""

    async def lock_with_account(self, session_id: UUID) -> Session | None:
        """Lock a session and its account; return the session if the account is active."""
        lock_account_first(session_id)
        return await self._lock_with_account(session_id)

    # PostgreSQL locks in the order of `of`: the account, then its session.
    @query(
        select(*columns(Session, Session))
        .join(Account, col(Session.user_id) == col(Account.user_id))
        .where(_is_session, col(Account.status) == AccountStatus.ACTIVE)
        .with_for_update(of=(Account, Session))
    )
    async def _lock_with_account(self, session_id: UUID) -> Session | None: ...

    @query(
        select(
            func.count().label("earlier"),
            func.count()
            .filter(col(Session.network) == param("network"), col(Session.agent) == param("agent"))
            .label("alike"),
        ).where(_is_of_user, ~_is_session)
    )
    async def familiarity(self, user_id: UUID, session_id: UUID, network: str, agent: str) -> FamiliarityRow:
        """Count a person's other sessions, and those of them with this network and this program."""

    async def page(self, user_id: UUID, request: PageRequest, now: datetime) -> Page[SessionRow]:
        """Return a page of a person's open sessions."""
        return await self.fetch_page(_LISTING, request, {}, user_id=user_id, now=now)

    @requires_locked_account
    @query(_END.where(_is_of_user, _is_session))
    async def end_one(self, user_id: UUID, session_id: UUID, reason: EndReason, now: datetime) -> bool:
        """End one session of a person; return whether it was open."""

    @requires_locked_account
    @query(_END.where(_is_of_user, ~_is_session))
    async def end_others(self, user_id: UUID, session_id: UUID, reason: EndReason, now: datetime) -> None:
        """End every session of a person but this one."""

    @requires_locked_account
    @query(_END.where(_is_of_user))
    async def end_all(self, user_id: UUID, reason: EndReason, now: datetime) -> int:
        """End every session of a person; return how many there were."""

    @query(_END)
    async def end_all_users(self, reason: EndReason, now: datetime) -> int:
        """End the sessions of all people; return how many there were."""

    @query(
        update(Session)
        .where(_is_session, col(Session.last_used_at) < param("before"))
        .values(last_used_at=param("now"))
    )
    async def stamp(self, session_id: UUID, *, now: datetime, before: datetime) -> None:
        """Record that a session is used, unless that was recorded after `before`."""

    @query(select(col(Session.id)).where(_is_of_user, col(Session.last_used_at) > param("since")).limit(1))
    async def was_used_since(self, user_id: UUID, since: datetime) -> bool:
        """Tell whether a session of the user was used after a time."""

    @query(select(col(Session.network)).where(_is_of_user).distinct())
    async def networks(self, user_id: UUID) -> list[str]:
        """Return the networks that a person has had a session in."""

    @requires_locked_account
    @query(delete(Session).where(_is_of_user))
    async def delete_all_of(self, user_id: UUID) -> None:
        """Delete a person's sessions."""

    @query(delete(Session).where(unlocked(col(Session.id), col(Session.ended_at) < param("before"))))
    async def sweep_ended(self, before: datetime) -> None:
        """Delete the sessions that ended before a time."""

    @query(
        delete(Session).where(
            unlocked(
                col(Session.id),
                col(Session.idle_expires_at) < param("before"),
                col(Session.ended_at).is_(None),
            )
        )
    )
    async def sweep_expired(self, before: datetime) -> None:
        """Delete the open sessions that expired before a time."""
