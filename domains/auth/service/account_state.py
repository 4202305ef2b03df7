"""The state of accounts, as other domains need it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from domains.auth.repository.accounts import AccountRepository
from domains.users.public import AccountInfo
from shared.clock import Clock
from shared.identity import Principal, SessionEnded


@dataclass(kw_only=True, eq=False)
class AccountState:
    """Implements `domains.users.public.AccountDirectory` and `shared.identity.AccountLock`."""

    accounts: AccountRepository
    clock: Clock

    async def of_users(self, user_ids: Sequence[UUID]) -> Mapping[UUID, AccountInfo]:
        """Return the account of each of these users that has one, with one statement."""
        if not user_ids:
            return {}
        return {
            row.user_id: AccountInfo(row.status.value, row.role.value, row.last_sign_in_at)
            for row in await self.accounts.account_infos(user_ids)
        }

    async def lock_caller(self, principal: Principal) -> None:
        """Lock the caller's account and session for share until the open transaction ends.

        Raises:
            SessionEnded: the session has ended, or the account is not active.
        """
        session_id, now = principal.session_id, self.clock.now()
        if session_id is None or not await self.accounts.lock_caller(principal.user_id, session_id, now):
            raise SessionEnded
