"""What each domain that keeps personal data can do with it."""

from typing import Protocol
from uuid import UUID


class PersonalDataEraser(Protocol):
    """Implemented by a domain; bootstrap collects all of them for the deletion of an account."""

    async def purge(self, owner_id: UUID) -> None:
        """Erase what belongs to this person, in rows at once and outside by jobs. Safe to call again.

        Joins the open transaction, which has locked the account: nothing is stored for it meanwhile by what holds
        `AccountLock`. It is called once more an hour later, for what a request stored that was under way.
        """
        ...
