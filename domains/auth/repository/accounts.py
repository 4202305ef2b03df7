"""SQL about accounts, registrations and one-time tokens."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, delete, exists, func, literal_column, select, update
from sqlmodel import col

from domains.auth.models import (
    Account,
    AccountStatus,
    Allowance,
    OneTimeToken,
    Registration,
    Role,
    Session,
    TokenPurpose,
)
from domains.auth.repository.account_locks import requires_locked_account
from domains.auth.schemas.rows import AccountInfoRow, LogInRow, RegistrationRow, SignInRow, TokenRow
from shared.db.models import columns
from shared.db.query import param, query
from shared.db.repository import Repository, unlocked
from shared.db.transaction import lock_account_first

_ADMINISTRATORS_LOCK_KEY = 7_483_922
"""Key of the advisory lock that serializes administrators who stop being one."""
_SIGN_IN = columns(Account, SignInRow)
_REGISTRATION = select(*columns(Registration, RegistrationRow))
_is_of_user = col(Account.user_id) == param("user_id")
_is_known_network = exists().where(
    col(Session.user_id) == col(Account.user_id), col(Session.network) == param("network")
)
_is_in_use = exists().where(
    col(Session.user_id) == col(Account.user_id), col(Session.last_used_at) > param("since")
)
_is_one_of = col(Account.user_id) == any_(param("user_ids", ARRAY(Uuid())))
_is_active = col(Account.status) == AccountStatus.ACTIVE


class AccountRepository(Repository):
    """Reads and writes accounts, registrations and one-time tokens."""

    @query(select(*_SIGN_IN).where(_is_of_user))
    async def find(self, user_id: UUID) -> SignInRow | None:
        """Return what is needed to check a password."""

    @query(select(*_SIGN_IN, _is_known_network.label("is_known")).where(_is_of_user))
    async def find_to_log_in(self, user_id: UUID, network: str) -> LogInRow | None:
        """Return what is needed to check a password, and whether the account is known in this network."""

    @query(select(*columns(Account, AccountInfoRow)).where(_is_one_of))
    async def account_infos(self, user_ids: Collection[UUID]) -> list[AccountInfoRow]:
        """Return status, role and last sign-in of these accounts, in no order."""

    async def has_other_administrator(self, user_id: UUID) -> bool:
        """Tell whether another account is an active administrator, until the open transaction ends.

        Other transactions that ask this wait meanwhile: of two administrators who leave at the same time, the second
        sees that the first is gone.
        """
        await self._lock_administrators()
        return await self._find_other_administrator(user_id)

    @query(select(func.pg_advisory_xact_lock(literal_column(str(_ADMINISTRATORS_LOCK_KEY)))), changes=True)
    async def _lock_administrators(self) -> None: ...

    @query(
        select(col(Account.user_id))
        .where(col(Account.role) == Role.ADMIN, _is_active, col(Account.user_id) != param("user_id"))
        .limit(1)
    )
    async def _find_other_administrator(self, user_id: UUID) -> bool: ...

    @query(select(col(Account.user_id)).where(_is_one_of, _is_active, ~_is_in_use))
    async def find_unused(self, user_ids: Collection[UUID], since: datetime) -> list[UUID]:
        """Return those of these accounts that are active and have no session that was used after `since`."""

    async def lock(self, user_id: UUID) -> Account | None:
        """Lock an account before the open transaction changes it, its sessions or its tokens; return it.

        Must be the first statement of its transaction: see `lock_account_first`.
        """
        lock_account_first(user_id)
        return await self.lock_row(Account, user_id)

    async def lock_caller(self, user_id: UUID, session_id: UUID, now: datetime) -> bool:
        """Lock an account and its session for share; return False if the account is not active or the session ended."""
        lock_account_first(user_id)
        return await self._lock_caller(user_id, session_id, now)

    # PostgreSQL locks in the order of `of`: the account, then its session.
    @query(
        select(col(Account.user_id))
        .join(Session, col(Session.user_id) == col(Account.user_id))
        .where(
            _is_of_user,
            _is_active,
            col(Session.id) == param("session_id"),
            col(Session.ended_at).is_(None),
            col(Session.absolute_expires_at) > param("now"),
        )
        .with_for_update(read=True, of=(Account, Session))
    )
    async def _lock_caller(self, user_id: UUID, session_id: UUID, now: datetime) -> bool: ...

    @query(_REGISTRATION.where(col(Registration.id) == param("registration_id")))
    async def find_registration(self, registration_id: UUID) -> RegistrationRow | None:
        """Return a registration."""

    @query(_REGISTRATION.where(col(Registration.user_id) == param("user_id")).limit(2))
    async def pending_registrations(self, user_id: UUID) -> list[RegistrationRow]:
        """Return up to two registrations of a user's address that are not verified yet."""

    @query(
        select(*columns(Registration, Registration)).where(col(Registration.id) == param("registration_id"))
    )
    async def load_registration(self, registration_id: UUID) -> Registration | None:
        """Return a registration with its password."""

    @requires_locked_account
    @query(delete(Registration).where(col(Registration.user_id) == param("user_id")))
    async def delete_registrations(self, user_id: UUID) -> None:
        """Delete the registrations of a user, with their passwords."""

    @query(
        select(*columns(OneTimeToken, TokenRow)).where(
            col(OneTimeToken.token_hash) == param("token_hash"), col(OneTimeToken.purpose) == param("purpose")
        )
    )
    async def find_token(self, token_hash: bytes, purpose: TokenPurpose) -> TokenRow | None:
        """Return a one-time token without locking it."""

    @requires_locked_account
    @query(
        select(*columns(OneTimeToken, OneTimeToken))
        .where(
            col(OneTimeToken.token_hash) == param("token_hash"), col(OneTimeToken.purpose) == param("purpose")
        )
        .with_for_update()
    )
    async def lock_token(self, token_hash: bytes, purpose: TokenPurpose) -> OneTimeToken | None:
        """Return a one-time token that the open transaction is going to use; another one waits here."""

    @requires_locked_account
    @query(
        update(OneTimeToken)
        .where(
            col(OneTimeToken.user_id) == param("user_id"),
            col(OneTimeToken.purpose) == param("purpose"),
            col(OneTimeToken.used_at).is_(None),
        )
        .values(used_at=param("now"))
    )
    async def void_tokens(self, user_id: UUID, purpose: TokenPurpose, now: datetime) -> None:
        """Void every unused token of a user and a purpose."""

    @query(update(OneTimeToken).where(col(OneTimeToken.used_at).is_(None)).values(used_at=param("now")))
    async def void_all_tokens(self, now: datetime) -> int:
        """Void the unused tokens of all users; return how many."""

    async def delete_all_of(self, user_id: UUID) -> None:
        """Delete a user's account, limits, registrations and tokens."""
        await self.delete_registrations(user_id)
        await self._delete_tokens(user_id)
        await self._delete_allowance(user_id)
        await self._delete_account(user_id)

    @query(delete(OneTimeToken).where(col(OneTimeToken.user_id) == param("user_id")))
    async def _delete_tokens(self, user_id: UUID) -> None: ...

    @query(delete(Allowance).where(col(Allowance.user_id) == param("user_id")))
    async def _delete_allowance(self, user_id: UUID) -> None: ...

    @query(delete(Account).where(_is_of_user))
    async def _delete_account(self, user_id: UUID) -> None: ...

    @query(
        delete(OneTimeToken).where(
            unlocked(col(OneTimeToken.id), col(OneTimeToken.expires_at) < param("before"))
        )
    )
    async def sweep_tokens(self, before: datetime) -> None:
        """Delete one-time tokens that expired before a time."""

    @query(
        delete(Registration).where(
            unlocked(col(Registration.id), col(Registration.created_at) < param("before"))
        )
    )
    async def sweep_registrations(self, before: datetime) -> None:
        """Delete registrations that were made before a time."""
