"""What every use case of this domain stands on."""

from dataclasses import dataclass
from uuid import UUID

from domains.auth.models import Account, AccountStatus, EndReason, Role, SecurityEventKind
from domains.auth.public import AccountDeleted, AccountVerified
from domains.auth.repository.accounts import AccountRepository
from domains.auth.repository.sessions import SessionRepository
from domains.auth.schemas import Visitor
from domains.auth.service.trail import Trail
from domains.auth.settings import AuthSettings
from domains.users.public import UserDirectory
from shared.clock import Clock
from shared.database import TransactionFactory
from shared.ids import new_id
from shared.jobs import Outbox


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOwner:
    """What the person who verifies an address brings with them."""

    password_hash: str
    name: str | None = None
    locale: str | None = None
    role: Role = Role.USER


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """Given to each service whole."""

    settings: AuthSettings
    transaction: TransactionFactory
    clock: Clock
    outbox: Outbox
    users: UserDirectory
    accounts: AccountRepository
    sessions: SessionRepository
    trail: Trail

    async def replace(self, account: Account, new: NewOwner, visitor: Visitor | None = None) -> UUID:
        """Give the address of an account to the person who has verified it; return the new account's id.

        Until then the account is provisional: whoever registered the address may have stored things in it. So the
        verified account is another one, and the provisional one is erased by the deletion of accounts, whatever a
        domain keeps. The account must be locked.
        """
        now, user_id = self.clock.now(), new_id()
        account.set_status(AccountStatus.DELETING, now)
        await self.sessions.end_all(account.user_id, EndReason.ADDRESS_VERIFIED, now)
        await self.users.replace(account.user_id, by=user_id, name=new.name, locale=new.locale)
        await self.accounts.add(
            Account(
                user_id=user_id,
                password_hash=new.password_hash,
                role=new.role,
                created_at=now,
                updated_at=now,
            )
        )
        await self.trail.record(
            SecurityEventKind.EMAIL_VERIFIED,
            user_id=user_id,
            visitor=visitor,
            replaces=str(account.user_id),
        )
        await self.outbox.publish(AccountDeleted(user_id=account.user_id))
        await self.outbox.publish(AccountVerified(owner_id=user_id, user_id=user_id))
        return user_id
