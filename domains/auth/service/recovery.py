"""Sessions and tokens that come out of a backup."""

from domains.auth.models import EndReason
from domains.auth.service.foundation import Foundation


class AccountRecovery:
    """Lets nobody in by what may have been ended or used since the backup was taken."""

    def __init__(self, base: Foundation) -> None:
        self.base = base

    async def recover(self) -> str:
        """End every session, and void every secret that was sent by mail."""
        now = self.base.clock.now()
        async with self.base.transaction():
            ended = await self.base.sessions.end_everybodys(EndReason.RESTORED, now)
            voided = await self.base.accounts.void_all_tokens(now)
        return f"{ended} sessions ended, {voided} links of mails voided"
