"""Accounts, sessions and tokens that come out of a backup."""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from domains.auth.models import EndReason
from domains.auth.service.foundation import Foundation
from domains.files.public import ErasureRecords
from shared.personal_data import PersonalDataEraser


class AccountRecovery:
    """Erases again who was erased since the backup, and lets nobody in by what may have been ended or used since."""

    def __init__(
        self,
        base: Foundation,
        *,
        erasers: Callable[[], Sequence[PersonalDataEraser]],
        erasures: ErasureRecords,
    ) -> None:
        self.base = base
        self.erasers = erasers
        self.erasures = erasures

    async def recover(self, taken_at: datetime) -> str:
        """Erase accounts that were erased since; end every session; void every secret that was sent by mail."""
        erased = 0
        async for user_id in self.erasures.since(taken_at):
            erased += await self._erase(user_id)
        now = self.base.clock.now()
        async with self.base.transaction():
            ended = await self.base.sessions.end_all_users(EndReason.RESTORED, now)
            voided = await self.base.accounts.void_all_tokens(now)
        return (
            f"{erased} accounts erased again, which were erased after the backup, {ended} sessions ended,"
            f" {voided} links of mails voided"
        )

    async def _erase(self, user_id: UUID) -> bool:
        """Erase what the backup has of a person; return whether there was an account."""
        async with self.base.transaction():
            account = await self.base.accounts.lock(user_id)
            for eraser in self.erasers():
                await eraser.purge(user_id)
            await self.base.sessions.delete_all_of(user_id)
            await self.base.accounts.delete_all_of(user_id)
        return account is not None
