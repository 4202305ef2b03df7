"""Reading, deleting and erasing mails."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from domains.emails.errors import EmailNotFound
from domains.emails.repository import EmailRepository
from domains.emails.schemas import EmailBody, EmailFilter
from domains.emails.settings import EmailsSettings
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.db.pagination import Page, PageRequest
from shared.logging import get_logger

logger = get_logger(__name__)
PRUNED_AT_ONCE = 1000
"""Mails that one transaction deletes."""


@dataclass(kw_only=True, eq=False)
class EmailService:
    """What administrators see of mails. Implements `PersonalDataEraser`."""

    repository: EmailRepository
    transaction: TransactionFactory
    clock: Clock
    settings: EmailsSettings

    async def page(self, request: PageRequest, filters: EmailFilter) -> Page[EmailBody]:
        """Return a page of all mails."""
        return await self.repository.page(request, filters)

    async def read(self, email_id: UUID) -> EmailBody:
        """Return a mail. Raises EmailNotFound."""
        email = await self.repository.find(email_id)
        if email is None:
            raise EmailNotFound
        return email

    async def purge(self, owner_id: UUID) -> None:
        """Erase addresses, subjects, contents and replies of a person's mails. Unsent mails are cancelled."""
        async with self.transaction():
            await self.repository.purge(owner_id, self.clock.now())

    async def prune(self) -> None:
        """Delete mails, with their attempts, that were accepted and ended `emails_keep_days` ago.

        Uncertain mails stay until an administrator resolves them.
        """
        before = self.clock.now() - timedelta(days=self.settings.emails_keep_days)
        deleted, last = 0, PRUNED_AT_ONCE
        while last == PRUNED_AT_ONCE:
            async with self.transaction():
                last = await self.repository.prune(before, PRUNED_AT_ONCE)
            deleted += last
        if deleted:
            logger.info("mails_pruned", number=deleted)
