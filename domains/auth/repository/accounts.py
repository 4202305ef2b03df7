"""SQL about accounts, registrations and one-time tokens."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, delete, exists, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col
from sqlmodel import select as select_model

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
from domains.auth.schemas.rows import (
    AccountIdRow,
    AccountInfoRow,
    LockedRow,
    LogInRow,
    RegistrationRow,
    SignInRow,
    TokenRow,
)
from shared.db.models import columns
from shared.db.repository import Repository, unlocked
from shared.db.statement import Nothing, Statement
from shared.db.transaction import current_session, lock_account_first, require_locked_account

_SIGN_IN = Statement(
    select(*columns(Account, SignInRow)).where(col(Account.user_id) == bindparam("user_id_")), SignInRow
)
_is_known_network = exists().where(
    col(Session.user_id) == col(Account.user_id), col(Session.network) == bindparam("network_")
)
_LOG_IN = Statement(
    select(*columns(Account, SignInRow), _is_known_network.label("is_known")).where(
        col(Account.user_id) == bindparam("user_id_")
    ),
    LogInRow,
)
_UNUSED = Statement(
    select(col(Account.user_id)).where(
        col(Account.user_id) == any_(bindparam("ids_", type_=ARRAY(Uuid()))),
        col(Account.status) == AccountStatus.ACTIVE,
        ~exists().where(
            col(Session.user_id) == col(Account.user_id), col(Session.last_used_at) > bindparam("since")
        ),
    ),
    AccountIdRow,
)
_ACCOUNT_INFOS = Statement(
    select(*columns(Account, AccountInfoRow)).where(
        col(Account.user_id) == any_(bindparam("ids_", type_=ARRAY(Uuid())))
    ),
    AccountInfoRow,
)
_ADMINISTRATORS_LOCK_KEY = 7_483_922
"""Key of the advisory lock by which administrators stop being some one after the other."""
_LOCK_ADMINISTRATORS = Statement(
    select(
        func.pg_advisory_xact_lock(literal_column(str(_ADMINISTRATORS_LOCK_KEY))).is_(None).label("is_locked")
    ),
    LockedRow,
    changes=True,
)
_OTHER_ADMINISTRATOR = Statement(
    select(col(Account.user_id))
    .where(
        col(Account.role) == Role.ADMIN,
        col(Account.status) == AccountStatus.ACTIVE,
        col(Account.user_id) != bindparam("user_id_"),
    )
    .limit(1),
    AccountIdRow,
)
_ADD_ACCOUNT = Statement(
    insert(Account)
    .values({name: bindparam(f"new_{name}") for name in Account.model_fields})
    .on_conflict_do_nothing(index_elements=["user_id"]),
    Nothing,
)
# The order of the locks: the account, then its session.
_LOCK_CALLER = Statement(
    select(col(Account.user_id))
    .join(Session, col(Session.user_id) == col(Account.user_id))
    .where(
        col(Account.user_id) == bindparam("user_id_"),
        col(Account.status) == AccountStatus.ACTIVE,
        col(Session.id) == bindparam("session_id_"),
        col(Session.ended_at).is_(None),
        col(Session.absolute_expires_at) > bindparam("now"),
    )
    .with_for_update(read=True, of=(Account, Session)),
    AccountIdRow,
)
_DELETE_ALLOWANCE = Statement(
    delete(Allowance).where(col(Allowance.user_id) == bindparam("user_id_")), Nothing
)
_DELETE_ACCOUNT = Statement(delete(Account).where(col(Account.user_id) == bindparam("user_id_")), Nothing)

_REGISTRATION_COLUMNS = columns(Registration, RegistrationRow)
_REGISTRATION = Statement(
    select(*_REGISTRATION_COLUMNS).where(col(Registration.id) == bindparam("row_id")), RegistrationRow
)
_PENDING_REGISTRATIONS = Statement(
    select(*_REGISTRATION_COLUMNS).where(col(Registration.user_id) == bindparam("user_id_")).limit(2),
    RegistrationRow,
)
_DELETE_REGISTRATIONS = Statement(
    delete(Registration).where(col(Registration.user_id) == bindparam("user_id_")), Nothing
)
_SWEEP_REGISTRATIONS = Statement(
    delete(Registration).where(
        unlocked(col(Registration.id), col(Registration.created_at) < bindparam("before"))
    ),
    Nothing,
)

_TOKEN = Statement(
    select(*columns(OneTimeToken, TokenRow)).where(
        col(OneTimeToken.token_hash) == bindparam("token_hash_"),
        col(OneTimeToken.purpose) == bindparam("purpose_"),
    ),
    TokenRow,
)
_VOID_ALL_TOKENS = Statement(
    update(OneTimeToken).where(col(OneTimeToken.used_at).is_(None)).values(used_at=bindparam("now")), Nothing
)
_VOID_TOKENS = Statement(
    update(OneTimeToken)
    .where(
        col(OneTimeToken.user_id) == bindparam("user_id_"),
        col(OneTimeToken.purpose) == bindparam("purpose_"),
        col(OneTimeToken.used_at).is_(None),
    )
    .values(used_at=bindparam("now")),
    Nothing,
)
_DELETE_TOKENS = Statement(
    delete(OneTimeToken).where(col(OneTimeToken.user_id) == bindparam("user_id_")), Nothing
)
_SWEEP_TOKENS = Statement(
    delete(OneTimeToken).where(
        unlocked(col(OneTimeToken.id), col(OneTimeToken.expires_at) < bindparam("before"))
    ),
    Nothing,
)


class AccountRepository(Repository):
    """Reads and writes accounts, registrations and one-time tokens."""

    async def find(self, user_id: UUID) -> SignInRow | None:
        """Return what is needed to check a password."""
        return await self.database.fetch_one(_SIGN_IN, user_id_=user_id)

    async def find_to_log_in(self, user_id: UUID, network: str) -> LogInRow | None:
        """Return what is needed to check a password, and whether the account is known in this network."""
        return await self.database.fetch_one(_LOG_IN, user_id_=user_id, network_=network)

    async def account_infos(self, user_ids: Collection[UUID]) -> list[AccountInfoRow]:
        """Return status, role and last sign-in of these accounts, in no order."""
        return await self.database.fetch_all(_ACCOUNT_INFOS, ids_=list(user_ids))

    async def has_other_administrator(self, user_id: UUID) -> bool:
        """Tell whether another account is an administrator's and active, until the open transaction ends.

        Others that ask this wait meanwhile: of two administrators who leave at the same time, one sees the other gone.
        """
        await self.database.fetch_one(_LOCK_ADMINISTRATORS)
        return await self.database.fetch_one(_OTHER_ADMINISTRATOR, user_id_=user_id) is not None

    async def find_unused(self, user_ids: Collection[UUID], since: datetime) -> list[UUID]:
        """Return those of these accounts that are active and have no session that was used since a moment."""
        found = await self.database.fetch_all(_UNUSED, ids_=list(user_ids), since=since)
        return [row.user_id for row in found]

    async def add_unless_known(self, account: Account) -> None:
        """Insert an account, or nothing if the user has one."""
        await self.database.execute(
            _ADD_ACCOUNT, **{f"new_{name}": getattr(account, name) for name in Account.model_fields}
        )

    async def lock(self, user_id: UUID) -> Account | None:
        """Lock an account before the open transaction changes it, its sessions or its tokens; return it.

        Must be the first statement of its transaction: see `lock_account_first`.
        """
        lock_account_first(user_id)
        return await (await current_session()).get(
            Account, user_id, with_for_update=True, populate_existing=True
        )

    async def lock_caller(self, user_id: UUID, session_id: UUID, now: datetime) -> bool:
        """Lock an account and its session for share; return False if the account is not active or the session ended."""
        lock_account_first(user_id)
        found = await self.database.fetch_one(_LOCK_CALLER, user_id_=user_id, session_id_=session_id, now=now)
        return found is not None

    async def find_registration(self, registration_id: UUID) -> RegistrationRow | None:
        """Return a registration."""
        return await self.database.fetch_one(_REGISTRATION, row_id=registration_id)

    async def pending_registrations(self, user_id: UUID) -> list[RegistrationRow]:
        """Return the wishes to register with a user's address that were not yet followed up, or two of more."""
        return await self.database.fetch_all(_PENDING_REGISTRATIONS, user_id_=user_id)

    async def load_registration(self, registration_id: UUID) -> Registration | None:
        """Return a registration with its password, in the open transaction."""
        return await (await current_session()).get(Registration, registration_id)

    async def delete_registrations(self, user_id: UUID) -> None:
        """Forget the registrations of a user, with their passwords."""
        require_locked_account()
        await self.database.execute(_DELETE_REGISTRATIONS, user_id_=user_id)

    async def find_token(self, token_hash: bytes, purpose: TokenPurpose) -> TokenRow | None:
        """Return a one-time token, to look at."""
        return await self.database.fetch_one(_TOKEN, token_hash_=token_hash, purpose_=purpose)

    async def lock_token(self, token_hash: bytes, purpose: TokenPurpose) -> OneTimeToken | None:
        """Return a one-time token that the open transaction is going to use; a second one waits here."""
        require_locked_account()
        clause = (
            select_model(OneTimeToken)
            .where(col(OneTimeToken.token_hash) == token_hash, col(OneTimeToken.purpose) == purpose)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        return (await (await current_session()).exec(clause)).one_or_none()

    async def void_tokens(self, user_id: UUID, purpose: TokenPurpose, now: datetime) -> None:
        """Make every unused token of a purpose useless."""
        require_locked_account()
        await self.database.execute(_VOID_TOKENS, user_id_=user_id, purpose_=purpose, now=now)

    async def void_all_tokens(self, now: datetime) -> int:
        """Make everybody's unused tokens useless; return how many."""
        return await self.database.execute(_VOID_ALL_TOKENS, now=now)

    async def delete_all_of(self, user_id: UUID) -> None:
        """Delete a user's account, limits, registrations and tokens."""
        require_locked_account()
        for statement in (_DELETE_TOKENS, _DELETE_REGISTRATIONS, _DELETE_ALLOWANCE, _DELETE_ACCOUNT):
            await self.database.execute(statement, user_id_=user_id)

    async def sweep(self, *, tokens_before: datetime, registrations_before: datetime) -> None:
        """Delete what nobody can use any more."""
        await self.database.execute(_SWEEP_TOKENS, before=tokens_before)
        await self.database.execute(_SWEEP_REGISTRATIONS, before=registrations_before)
