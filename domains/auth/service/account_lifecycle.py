"""Changes to whole accounts that several services make: replace an unverified account, close an account."""

from dataclasses import dataclass
from uuid import UUID

from domains.auth.errors import LastAdministrator
from domains.auth.models import Account, AccountStatus, EndReason, Role, SecurityEventKind
from domains.auth.public import AccountDeleted, AccountVerified
from domains.auth.repository.accounts import AccountRepository
from domains.auth.repository.sessions import SessionRepository
from domains.auth.schemas.client_info import ClientInfo
from domains.auth.service.audit_log import AuditLog
from domains.users.public import UserDirectory
from shared.clock import Clock
from shared.ids import new_id
from shared.jobs import Outbox


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOwner:
    """Password, name, language and role of the account created at verification."""

    password_hash: str
    name: str | None = None
    locale: str | None = None
    role: Role = Role.USER


@dataclass(kw_only=True, eq=False)
class AccountLifecycle:
    """Changes that several services make to whole accounts. Each joins the open transaction."""

    accounts: AccountRepository
    sessions: SessionRepository
    users: UserDirectory
    audit_log: AuditLog
    outbox: Outbox
    clock: Clock

    async def replace(self, account: Account, new: NewOwner, client_info: ClientInfo | None = None) -> UUID:
        """Replace an unverified account by a verified one with a new id; return that id.

        A stranger may have registered the address and stored data in the unverified account, so it is erased like any
        deleted account, in every domain. The account must be locked.
        """
        now, user_id = self.clock.now(), new_id()
        account.set_status(AccountStatus.DELETING, now)
        await self.accounts.save(account)
        await self.sessions.end_all(account.user_id, EndReason.ADDRESS_VERIFIED, now)
        await self.users.replace(account.user_id, by=user_id, name=new.name, locale=new.locale)
        await self.accounts.insert(
            Account(
                user_id=user_id,
                password_hash=new.password_hash,
                role=new.role,
                created_at=now,
                updated_at=now,
            )
        )
        await self.audit_log.record(
            SecurityEventKind.EMAIL_VERIFIED,
            user_id=user_id,
            client_info=client_info,
            replaces=str(account.user_id),
        )
        await self.outbox.publish(AccountDeleted(user_id=account.user_id))
        await self.outbox.publish(AccountVerified(owner_id=user_id, user_id=user_id))
        return user_id

    async def close(self, account: Account) -> None:
        """Close an account for good: its sessions end, and a job erases what its owner stored. It must be locked.

        Raises:
            LastAdministrator: no other account can administer this installation.
        """
        await self.require_other_administrator(account)
        now = self.clock.now()
        account.set_status(AccountStatus.DELETING, now)
        await self.accounts.save(account)
        await self.sessions.end_all(account.user_id, EndReason.ACCOUNT_DELETED, now)
        await self.outbox.publish(AccountDeleted(user_id=account.user_id))

    async def require_other_administrator(self, account: Account) -> None:
        """Check that another administrator remains when this account, which must be locked, stops being one.

        Raises:
            LastAdministrator: no other account can administer this installation.
        """
        is_one = account.role is Role.ADMIN and account.status is AccountStatus.ACTIVE
        if is_one and not await self.accounts.has_other_administrator(account.user_id):
            raise LastAdministrator
