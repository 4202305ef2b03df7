"""What every use case of this domain stands on."""

from dataclasses import dataclass
from uuid import UUID

from domains.auth.models import SecurityEventKind
from domains.auth.public import AccountVerified
from domains.auth.repository.accounts import AccountRepository
from domains.auth.repository.sessions import SessionRepository
from domains.auth.schemas import Visitor
from domains.auth.service.trail import Trail
from domains.auth.settings import AuthSettings
from domains.users.public import UserDirectory
from shared.clock import Clock
from shared.database import TransactionFactory
from shared.jobs import Outbox


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

    async def note_verified(self, user_id: UUID, visitor: Visitor) -> None:
        """Note in the open transaction that somebody reads the mail of their address, and tell who reacts to it."""
        await self.users.mark_verified(user_id)
        await self.trail.record(SecurityEventKind.EMAIL_VERIFIED, user_id=user_id, visitor=visitor)
        await self.outbox.publish(AccountVerified(owner_id=user_id, user_id=user_id))
