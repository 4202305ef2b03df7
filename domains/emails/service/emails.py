"""Looking at mails, and erasing a person's."""

from uuid import UUID

from domains.emails.errors import EmailNotFound
from domains.emails.public import EmailStatus
from domains.emails.repository import EmailRepository
from domains.emails.schemas import EmailRead
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.db.pagination import Page, PageRequest


class EmailService:
    """What administrators see of mails."""

    def __init__(self, *, emails: EmailRepository) -> None:
        self._emails = emails

    async def find(
        self,
        request: PageRequest,
        *,
        status: EmailStatus | None = None,
        recipient: str | None = None,
        owner_id: UUID | None = None,
    ) -> Page[EmailRead]:
        """Return one page of mails, of everybody or of one person (`owner_id`)."""
        filters = {"status": status, "recipient": recipient, "owner_id": owner_id}
        return await self._emails.find(request, filters)

    async def read(self, email_id: UUID) -> EmailRead:
        """Return one mail.

        Raises:
            EmailNotFound: there is none with this id.
        """
        email = await self._emails.read(email_id)
        if email is None:
            raise EmailNotFound
        return email


class EmailEraser:
    """The `PersonalDataEraser` of this domain."""

    def __init__(self, *, emails: EmailRepository, transaction: TransactionFactory, clock: Clock) -> None:
        self._emails = emails
        self._transaction = transaction
        self._clock = clock

    async def purge(self, owner_id: UUID) -> None:
        """Erase addresses, subjects, contents and replies; mails that were not sent yet never will be."""
        async with self._transaction():
            await self._emails.erase(owner_id, now=self._clock.now())
