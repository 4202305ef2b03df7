"""Implements `domains.users.public.AccountDirectory`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from domains.auth.repository.accounts import AccountRepository
from domains.users.public import AccountInfo


@dataclass(kw_only=True, eq=False)
class RowAccountDirectory:
    """Reads status, role and last sign-in of accounts."""

    accounts: AccountRepository

    async def of_users(self, user_ids: Sequence[UUID]) -> Mapping[UUID, AccountInfo]:
        """Return the account of each of these users that has one, with one statement."""
        if not user_ids:
            return {}
        return {
            row.user_id: AccountInfo(row.status.value, row.role.value, row.last_sign_in_at)
            for row in await self.accounts.account_infos(user_ids)
        }
