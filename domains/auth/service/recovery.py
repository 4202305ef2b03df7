"""Accounts, sessions and tokens after a backup was restored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domains.auth.models import EndReason
from domains.auth.repository.accounts import AccountRepository
from domains.auth.repository.sessions import SessionRepository
from domains.files.public import ErasureRecords
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.personal_data import PersonalDataEraser


@dataclass(kw_only=True, eq=False)
class AccountRecovery:
    """Repeats the erasures since the backup, ends all sessions and voids all one-time tokens."""

    accounts: AccountRepository
    sessions: SessionRepository
    erasers: Callable[[], Sequence[PersonalDataEraser]]
    erasures: ErasureRecords
    transaction: TransactionFactory
    clock: Clock

    async def recover(self, taken_at: datetime) -> str:
        """Erase accounts that were erased since; end every session; void every one-time token."""
        erased = 0
        async for user_id in self.erasures.since(taken_at):
            erased += await self._erase(user_id)
        now = self.clock.now()
        async with self.transaction():
            ended = await self.sessions.end_all_users(EndReason.RESTORED, now)
            voided = await self.accounts.void_all_tokens(now)
        return (
            f"{erased} accounts erased again, which were erased after the backup, {ended} sessions ended,"
            f" {voided} links of mails voided"
        )

    async def _erase(self, user_id: UUID) -> bool:
        """Erase what the backup has of a person; return whether there was an account."""
        async with self.transaction():
            account = await self.accounts.lock(user_id)
            for eraser in self.erasers():
                await eraser.purge(user_id)
            await self.sessions.delete_all_of(user_id)
            await self.accounts.delete_all_of(user_id)
        return account is not None
