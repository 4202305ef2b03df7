"""Erasure of personal data, as each domain that stores it implements it."""

from typing import Protocol
from uuid import UUID


class PersonalDataEraser(Protocol):
    """Implemented by a domain; bootstrap collects all of them for the deletion of an account."""

    async def purge(self, owner_id: UUID) -> None:
        """Erase a person's data: rows at once, data outside the database by jobs. Safe to call again.

        Joins the open transaction, which has locked the account: nothing is stored for it meanwhile by what holds
        `AccountLock`. It is called once more an hour later, for what a request stored that was under way.
        """
        ...
