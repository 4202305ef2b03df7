"""What the services of this domain need of a repository."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from domains.emails.models import Email, Phase


class Owned(Protocol):
    """A mail and whose it is."""

    @property
    def id(self) -> UUID:
        """The mail."""
        ...

    @property
    def owner_id(self) -> UUID | None:
        """Whose it is."""
        ...


class EmailStore(Protocol):
    """Keeps mails; the repository implements it."""

    async def add(self, model: Any) -> Any:
        """Insert an `Email` or an `Attempt` in the open transaction."""
        ...

    async def lock(self, email_id: UUID) -> Email | None:
        """Return the mail, locked until the open transaction ends."""
        ...

    async def save(self, email: Email) -> None:
        """Write what changed of a mail that is locked."""
        ...

    async def enter(self, email_id: UUID, phase: Phase, *, now: datetime) -> bool:
        """Note that a phase begins; False when the mail is not being sent any more."""
        ...

    async def stalled(self, *, untouched_since: datetime) -> Sequence[UUID]:
        """Return mails that are `sending` and that nobody has touched for so long."""
        ...

    async def expire(
        self,
        *,
        created_before: datetime,
        untouched_since: datetime,
        problem: Mapping[str, Any],
        now: datetime,
    ) -> Sequence[Owned]:
        """Give up old mails that nobody works on, and return them."""
        ...
