"""Show and reset the counters that lock a person out."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domains.auth.errors import AccountNotFound
from domains.auth.models import SecurityEventKind
from domains.auth.repository.sessions import SessionRepository
from domains.auth.schemas.limits import AttemptCounter
from domains.auth.service.audit_log import AuditLog
from domains.auth.service.limits import Limits
from domains.users.public import UserDirectory
from shared.audit import Actor
from shared.db.database import TransactionFactory


@dataclass(kw_only=True, eq=False)
class LockoutService:
    """Shows and resets the counters of wrong passwords and requested mails of a person."""

    sessions: SessionRepository
    users: UserDirectory
    limits: Limits
    audit_log: AuditLog
    transaction: TransactionFactory

    async def counters(self, user_id: UUID) -> Sequence[AttemptCounter]:
        """Return the counters of a person that count anything at present. Raises AccountNotFound."""
        email, networks = await self._known(user_id)
        return [
            AttemptCounter(
                kind=kind.value, network=network or None, count=row.count, most=most, until=row.expires_at
            )
            for kind, network, most, row in await self.limits.find_counters(user_id, email, networks)
        ]

    async def clear(self, actor: Actor, user_id: UUID) -> None:
        """Reset them: the person may try again at once. Counters of networks stay. Raises AccountNotFound."""
        email, networks = await self._known(user_id)
        async with self.transaction():
            await self.audit_log.note(SecurityEventKind.LIMITS_CLEARED, actor, user_id=user_id)
            await self.limits.clear(user_id, email, networks)

    async def _known(self, user_id: UUID) -> tuple[str, Sequence[str]]:
        person = await self.users.find(user_id)
        if person is None:
            raise AccountNotFound
        return person.email, await self.sessions.networks(user_id)
