"""Whether a caller may still act, in the transaction that depends on it."""

from domains.auth.repository.accounts import AccountRepository
from shared.clock import Clock
from shared.identity import NotAuthenticated, Principal


class RowAccountLock:
    """`shared.identity.AccountLock`, by share locks on the rows of account and session."""

    def __init__(self, accounts: AccountRepository, *, clock: Clock) -> None:
        self.accounts = accounts
        self.clock = clock

    async def lock_caller(self, principal: Principal) -> None:
        """Make sure that the caller's session lives and its account is active."""
        session_id = principal.session_id
        if session_id is None or not await self.accounts.lock_caller(
            principal.user_id, session_id, self.clock.now()
        ):
            raise NotAuthenticated
