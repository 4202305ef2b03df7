"""Deleting mails that ended long ago."""

from datetime import timedelta

from domains.emails.repository import EmailRepository
from domains.emails.settings import EmailsSettings
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.logging import get_logger

logger = get_logger(__name__)
AT_ONCE = 1000
"""Mails that one transaction deletes."""


class RetentionService:
    """Deletes ended mails, with their attempts, after `emails_keep_days`."""

    def __init__(
        self,
        *,
        emails: EmailRepository,
        transaction: TransactionFactory,
        clock: Clock,
        settings: EmailsSettings,
    ) -> None:
        self._emails = emails
        self._transaction = transaction
        self._clock = clock
        self._kept = timedelta(days=settings.emails_keep_days)

    async def prune(self) -> None:
        """Delete the mails that were accepted and ended before that many days. Uncertain ones wait for a decision."""
        before, deleted, last = self._clock.now() - self._kept, 0, AT_ONCE
        while last == AT_ONCE:
            async with self._transaction():
                last = await self._emails.prune(before, most=AT_ONCE)
            deleted += last
        if deleted:
            logger.info("mails_pruned", number=deleted)
