"""Limits of single people, which override the settings: bytes, files, requests in a minute."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from domains.auth.errors import AccountNotFound
from domains.auth.models import AccountStatus, SecurityEventKind
from domains.auth.repository.accounts import AccountRepository
from domains.auth.repository.allowances import AllowanceRepository
from domains.auth.schemas.limits import AllowanceRow, AllowancesState, LimitOverrides
from domains.auth.service.audit_log import AuditLog
from domains.files.public import PersonalQuota
from shared.audit import Actor
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.db.transaction import after_commit

_NO_QUOTA = PersonalQuota(max_bytes=None, max_files=None)


@dataclass(kw_only=True, eq=False)
class AllowanceCache:
    """Caches the limits of all people in this process; looks for changes after `seconds`.

    A refresh reads one row, which counts the others; all are read only if something was changed.
    """

    rows: AllowanceRepository
    seconds: float
    now: Callable[[], float] = time.monotonic
    _known: dict[UUID, AllowanceRow] = field(default_factory=dict, init=False)
    _requests: dict[str | int, int] = field(default_factory=dict, init=False)
    _state: AllowancesState | None = field(default=None, init=False)
    _refreshed_at: float = field(default=float("-inf"), init=False)
    _began: int = field(default=0, init=False)
    _ended: int = field(default=0, init=False)

    async def requests(self) -> Mapping[str | int, int]:
        """Return how many requests in a minute each account may send that has a limit of its own, by its number."""
        await self._refresh()
        return self._requests

    async def quota_of(self, owner_id: UUID) -> PersonalQuota:
        """Return how much a person may store (`domains.files.public.Quotas`)."""
        await self._refresh()
        known = self._known.get(owner_id)
        return _NO_QUOTA if known is None else PersonalQuota(known.max_bytes, known.max_files)

    def forget(self) -> None:
        """Refresh before the next use: this process has changed something."""
        self._refreshed_at = float("-inf")
        self._ended = self._began  # what is being read is older

    async def _refresh(self) -> None:
        refreshed_at = self.now()
        if refreshed_at < self._refreshed_at + self.seconds:
            return
        self._began += 1
        refresh = self._began
        state = await self.rows.state()
        found = await self.rows.all() if state != self._state else None
        if refresh <= self._ended:  # a later refresh has ended meanwhile, or something was changed here
            await self._refresh()
            return
        self._ended = refresh
        if found is not None:
            self._known = {row.user_id: row for row in found}
            self._requests = {row.user_id.int: row.max_requests for row in found if row.max_requests}
            self._state = state
        self._refreshed_at = refreshed_at


@dataclass(kw_only=True, eq=False)
class AllowanceService:
    """Reads and changes the limits of a person. Every method raises AccountNotFound, also for a deleted account."""

    accounts: AccountRepository
    rows: AllowanceRepository
    cache: AllowanceCache
    audit_log: AuditLog
    transaction: TransactionFactory
    clock: Clock

    async def find(self, user_id: UUID) -> AllowanceRow:
        """Return a person's limits; None in a field: the setting applies."""
        account = await self.accounts.find(user_id)
        if account is None or account.status is AccountStatus.DELETING:
            raise AccountNotFound
        return await self.rows.find(user_id)

    async def list_all(self) -> list[AllowanceRow]:
        """Return the limits of all people that override the settings."""
        return [row for row in await self.rows.all() if not row.is_empty]

    async def replace(self, actor: Actor, user_id: UUID, limits: LimitOverrides) -> AllowanceRow:
        """Replace the limits of a person, and return the new ones.

        They apply at once in this process, in others within `auth_limits_refresh` seconds.
        """
        async with self.transaction():
            account = await self.accounts.lock(user_id)
            if account is None or account.status is AccountStatus.DELETING:
                raise AccountNotFound
            await self.rows.lock(user_id)
            saved = await self.rows.save_limits(user_id, self.clock.now(), **limits.model_dump())
            await self.audit_log.note(
                SecurityEventKind.LIMITS_CHANGED, actor, user_id=user_id, **limits.model_dump()
            )
            # Not before: a refresh during the transaction would read the old limits and keep them.
            after_commit(self.cache.forget)
        return saved
