"""Checks inside a transaction that the caller's session and account are still valid."""

from dataclasses import dataclass

from domains.auth.repository.accounts import AccountRepository
from shared.clock import Clock
from shared.identity import Principal, SessionEnded


@dataclass(kw_only=True, eq=False)
class RowAccountLock:
    """Implements `shared.identity.AccountLock` with share locks on the rows of account and session."""

    accounts: AccountRepository
    clock: Clock

    async def lock_caller(self, principal: Principal) -> None:
        """Lock the caller's account and session for share until the open transaction ends.

        Raises:
            SessionEnded: the session has ended, or the account is not active.
        """
        session_id = principal.session_id
        if session_id is None or not await self.accounts.lock_caller(
            principal.user_id, session_id, self.clock.now()
        ):
            raise SessionEnded
