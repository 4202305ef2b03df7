"""Authentication: the access token names the session, the database tells whether it is open."""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from domains.auth.gateway.access_tokens import AccessTokens
from domains.auth.models import AccountStatus, Role, SecurityEventKind
from domains.auth.repository.sessions import SessionRepository
from domains.auth.schemas.client_info import ClientInfo
from domains.auth.schemas.rows import CallerRow
from domains.auth.service.audit_log import AuditLog
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.identity import ADMIN_SCOPE, AccessClaims, Principal, SessionEnded
from shared.logging import get_logger
from shared.throttled_warnings import ThrottledWarnings

logger = get_logger(__name__)
_warnings = ThrottledWarnings(logger)
_STAMPS_REMEMBERED = 10_000


@dataclass(kw_only=True, eq=False)
class TokenAuthenticator:
    """Authenticates by access token, with one statement on this domain's own tables.

    `stamp_interval`: how often at most the last use of a session is recorded.
    """

    access_tokens: AccessTokens
    sessions: SessionRepository
    audit_log: AuditLog
    stamp_interval: timedelta
    transaction: TransactionFactory
    clock: Clock
    _stamped: OrderedDict[UUID, datetime] = field(default_factory=OrderedDict, init=False)

    def read(self, token: str) -> AccessClaims:
        """Return the claims of a token; see `AccessTokens.read` for what it raises."""
        return self.access_tokens.read(token)

    async def authenticate(self, claims: AccessClaims) -> Principal:
        """Return the caller.

        Raises:
            SessionEnded: the session has ended, or the account is disabled.
        """
        # A query for each request, so that ended sessions and disabled accounts are refused at once.
        row = await self.sessions.find_caller(claims.session_id)
        if row is None or row.user_id != claims.user_id or not _is_active(row, self.clock.now()):
            raise SessionEnded
        return Principal(row.user_id, claims.session_id, _scopes(row), claims.expires_at)

    async def still_valid(self, principals: Collection[Principal]) -> set[Principal]:
        """Return the callers whose token and session are still valid. Runs one statement."""
        now = self.clock.now()
        ids = {principal.session_id for principal in principals if principal.session_id is not None}
        rows: dict[UUID | None, CallerRow] = {row.id: row for row in await self.sessions.find_callers(ids)}
        return {
            principal
            for principal in principals
            if (row := rows.get(principal.session_id)) is not None
            and _is_active(row, now)
            and (principal.expires_at is None or now < principal.expires_at)
        }

    def is_use_new(self, principal: Principal) -> bool:
        """Tell whether this process has not recorded a use of the session within `stamp_interval`."""
        return principal.session_id is not None and self._is_due(principal.session_id, self.clock.now())

    async def note_use(self, principal: Principal) -> None:
        """Record that a session is used, at most once per `stamp_interval`. Runs after the response; it may be lost."""
        session_id, now = principal.session_id, self.clock.now()
        if session_id is None or not self._is_due(session_id, now):
            return
        # Before the write: concurrent requests of the session must not write too.
        self._stamped[session_id] = now
        self._stamped.move_to_end(session_id)
        if len(self._stamped) > _STAMPS_REMEMBERED:
            self._stamped.popitem(last=False)
        try:
            await self.sessions.stamp(session_id, now=now, before=now - self.stamp_interval)
        except Exception as error:  # noqa: BLE001  # the response was sent, and a read-only database refuses every write
            _warnings.warn("session_use_not_noted", reason=type(error).__name__)

    def _is_due(self, session_id: UUID, now: datetime) -> bool:
        stamped = self._stamped.get(session_id)
        return stamped is None or stamped <= now - self.stamp_interval

    async def note_refusal(
        self, principal: Principal, scope: str, *, address: str | None, agent: str | None
    ) -> None:
        """Record an event in a separate transaction."""
        async with self.transaction(separate=True):
            await self.audit_log.record(
                SecurityEventKind.SCOPE_REFUSED,
                user_id=principal.user_id,
                session_id=principal.session_id,
                client_info=ClientInfo.of(address, agent),
                scope=scope,
            )


def _is_active(row: CallerRow, now: datetime) -> bool:
    return row.ended_at is None and now < row.absolute_expires_at and row.status is AccountStatus.ACTIVE


def _scopes(row: CallerRow) -> frozenset[str]:
    return frozenset([*row.scopes, ADMIN_SCOPE] if row.role is Role.ADMIN else row.scopes)
