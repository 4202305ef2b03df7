"""Hourly cleanup: deletes expired sessions, tokens and counters, and closes accounts that were never verified."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from domains.auth.models import AccountStatus, SecurityEventKind
from domains.auth.repository.accounts import AccountRepository
from domains.auth.repository.attempts import AttemptRepository
from domains.auth.repository.events import EventRepository
from domains.auth.repository.sessions import SessionRepository
from domains.auth.service.account_lifecycle import AccountLifecycle
from domains.auth.service.audit_log import AuditLog
from domains.auth.settings import AuthSettings
from domains.users.public import UserDirectory
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.jobs import JobContext

_BATCH = 200
_FIRST = UUID(int=0)


@dataclass(kw_only=True, eq=False)
class Housekeeping:
    """Deletes expired data, after the days in the settings."""

    accounts: AccountRepository
    sessions: SessionRepository
    users: UserDirectory
    lifecycle: AccountLifecycle
    attempts: AttemptRepository
    events: EventRepository
    audit_log: AuditLog
    settings: AuthSettings
    transaction: TransactionFactory
    clock: Clock

    async def sweep(self, context: JobContext) -> None:
        """Delete old sessions, tokens, registrations, counters and security events."""
        now, settings = self.clock.now(), self.settings
        async with self.transaction():
            sessions_before = now - timedelta(days=settings.auth_keep_sessions_days)
            await self.sessions.sweep_ended(sessions_before)
            await self.sessions.sweep_expired(sessions_before)
            await self.accounts.sweep_tokens(now - timedelta(days=1))
            await self.accounts.sweep_registrations(
                now - timedelta(days=settings.auth_keep_registrations_days)
            )
            await self.attempts.sweep(now)
            await self.events.sweep(now - timedelta(days=settings.auth_keep_events_days))
            await context.finish()

    async def close_unverified(self) -> None:
        """Close the accounts whose address was not verified in time, each in its own transaction.

        An account that is in use stays. So does a disabled one: without it the address could be registered again.
        Accounts that stay are read in batches, and not locked.
        """
        days = self.settings.auth_keep_unverified_days
        if not days:
            return
        before, last = self.clock.now() - timedelta(days=days), _FIRST
        while found := await self.users.unverified(before=before, after=last, most=_BATCH):
            for user_id in await self.accounts.find_unused(found, before):
                await self._close(user_id, before)
            last = found[-1]

    async def _close(self, user_id: UUID, before: datetime) -> None:
        async with self.transaction():
            account = await self.accounts.lock(user_id)
            if account is None or account.status is not AccountStatus.ACTIVE:
                return  # disabled, deleted or verified (which replaces the account) after it was listed
            if await self.sessions.was_used_since(user_id, before):
                return
            await self.lifecycle.close(account)
            await self.audit_log.record(
                SecurityEventKind.ACCOUNT_DELETED, user_id=user_id, reason="never verified"
            )
