"""Hourly cleanup: deletes expired sessions, tokens and counters, and closes accounts that were never verified."""

from datetime import datetime, timedelta
from uuid import UUID

from domains.auth.models import AccountStatus, SecurityEventKind
from domains.auth.repository.attempts import AttemptRepository
from domains.auth.repository.events import EventRepository
from domains.auth.service.foundation import Foundation
from shared.jobs import JobContext

_BATCH = 200
_FIRST = UUID(int=0)


class Housekeeping:
    """Deletes what has expired, after the days that the settings say."""

    def __init__(self, base: Foundation, *, attempts: AttemptRepository, events: EventRepository) -> None:
        self.base = base
        self.attempts = attempts
        self.events = events

    async def sweep(self, context: JobContext) -> None:
        """Delete old sessions, tokens, registrations, counters and security events."""
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
        """Close the accounts whose address was not verified in time, each in its own transaction.

        An account that is in use stays. So does a disabled one: without it the address could be registered again.
        Accounts that stay are read in batches, and not locked.
        """
        days = self.base.settings.auth_keep_unverified_days
        if not days:
            return
        before, last = self.base.clock.now() - timedelta(days=days), _FIRST
        while found := await self.base.users.unverified(before=before, after=last, most=_BATCH):
            for user_id in await self.base.accounts.find_unused(found, before):
                await self._close(user_id, before)
            last = found[-1]

    async def _close(self, user_id: UUID, before: datetime) -> None:
        async with self.base.transaction():
            account = await self.base.accounts.lock(user_id)
            if account is None or account.status is not AccountStatus.ACTIVE:
                return  # disabled, deleted or verified (which replaces the account) after it was listed
            if await self.base.sessions.was_used_since(user_id, before):
                return
            await self.base.close(account)
            await self.base.audit_log.record(
                SecurityEventKind.ACCOUNT_DELETED, user_id=user_id, reason="never verified"
            )
