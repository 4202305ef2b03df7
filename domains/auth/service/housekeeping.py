"""What time takes away: what can't be used any more, and accounts that nobody has shown to be wanted."""

from datetime import datetime, timedelta
from uuid import UUID

from domains.auth.models import AccountStatus, EndReason, SecurityEventKind
from domains.auth.public import AccountDeleted
from domains.auth.repository.attempts import AttemptRepository
from domains.auth.repository.events import EventRepository
from domains.auth.service.foundation import Foundation
from shared.jobs import JobContext

_BATCH = 200
_FIRST = UUID(int=0)


class Housekeeping:
    """Deletes what nobody can use any more, in the settings' time."""

    def __init__(self, base: Foundation, *, attempts: AttemptRepository, events: EventRepository) -> None:
        self.base = base
        self.attempts = attempts
        self.events = events

    async def sweep(self, context: JobContext) -> None:
        """Delete old sessions, tokens, registrations, counters and lines of the trail."""
        now, settings = self.base.clock.now(), self.base.settings
        async with self.base.transaction():
            await self.base.sessions.sweep(now - timedelta(days=settings.auth_keep_sessions_days))
            await self.base.accounts.sweep(
                tokens_before=now - timedelta(days=1),
                registrations_before=now - timedelta(days=settings.auth_keep_registrations_days),
            )
            await self.attempts.sweep(now)
            await self.events.sweep(now - timedelta(days=settings.auth_keep_events_days))
            await context.finish()

    async def close_unverified(self) -> None:
        """Delete the accounts whose address was not verified in the settings' time, each in its own transaction.

        One that is in use stays, and one that is disabled: its address would be free again.
        """
        before = self.base.clock.now() - timedelta(days=self.base.settings.auth_keep_unverified_days)
        last = _FIRST
        while found := await self.base.users.unverified(before=before, after=last, most=_BATCH):
            for user_id in found:
                await self._close(user_id, before)
            last = found[-1]

    async def _close(self, user_id: UUID, before: datetime) -> None:
        now = self.base.clock.now()
        async with self.base.transaction():
            account = await self.base.accounts.lock(user_id)
            if account is None or account.status is not AccountStatus.ACTIVE:
                return  # verified in this moment, it is being deleted too: another account has the address
            if await self.base.sessions.was_used_since(user_id, before):
                return
            account.set_status(AccountStatus.DELETING, now)
            await self.base.sessions.end_all(user_id, EndReason.ACCOUNT_DELETED, now)
            await self.base.trail.record(
                SecurityEventKind.ACCOUNT_DELETED, user_id=user_id, reason="never verified"
            )
            await self.base.outbox.publish(AccountDeleted(user_id=user_id))
