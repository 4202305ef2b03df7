"""List and end sessions."""

from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from domains.auth.errors import InvalidRefreshToken, SessionNotFound
from domains.auth.gateway.access_tokens import AccessTokens
from domains.auth.gateway.secrets import TokenKeys
from domains.auth.models import EndReason, SecurityEventKind
from domains.auth.repository.accounts import AccountRepository
from domains.auth.repository.sessions import SessionRepository
from domains.auth.schemas.client_info import ClientInfo
from domains.auth.schemas.sessions import SessionRow
from domains.auth.service.audit_log import AuditLog
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.db.pagination import Page, PageRequest
from shared.identity import NotAuthenticated, Principal


class LogoutScope(StrEnum):
    """Which of the caller's sessions end."""

    THIS = "this"
    OTHERS = "others"
    ALL = "all"


@dataclass(kw_only=True, eq=False)
class SessionService:
    """Lists and ends sessions."""

    accounts: AccountRepository
    sessions: SessionRepository
    key: TokenKeys
    access_tokens: AccessTokens
    audit_log: AuditLog
    transaction: TransactionFactory
    clock: Clock

    async def log_out(self, principal: Principal, scope: LogoutScope, client_info: ClientInfo) -> None:
        """End this session, the others or all; their access tokens stop working at once."""
        if principal.session_id is None:
            raise SessionNotFound
        now, user_id = self.clock.now(), principal.user_id
        async with self.transaction():
            await self.accounts.lock(user_id)
            match scope:
                case LogoutScope.THIS:
                    await self.sessions.end_one(user_id, principal.session_id, EndReason.LOGGED_OUT, now)
                case LogoutScope.OTHERS:
                    await self.sessions.end_others(user_id, principal.session_id, EndReason.LOGGED_OUT, now)
                case LogoutScope.ALL:
                    await self.sessions.end_all(user_id, EndReason.LOGGED_OUT, now)
            await self.audit_log.record(
                SecurityEventKind.LOGGED_OUT,
                user_id=user_id,
                client_info=client_info,
                session_id=principal.session_id,
                scope=scope.value,
            )

    async def page(self, user_id: UUID, request: PageRequest) -> Page[SessionRow]:
        """Return a page of a person's open sessions."""
        return await self.sessions.page(user_id, request, self.clock.now())

    async def revoke(self, principal: Principal, session_id: UUID, client_info: ClientInfo) -> None:
        """End one of the caller's sessions.

        Raises:
            SessionNotFound: the caller has no open session with this id.
        """
        now = self.clock.now()
        async with self.transaction():
            await self.accounts.lock(principal.user_id)
            if not await self.sessions.end_one(principal.user_id, session_id, EndReason.REVOKED, now):
                raise SessionNotFound
            await self.audit_log.record(
                SecurityEventKind.SESSION_REVOKED,
                user_id=principal.user_id,
                client_info=client_info,
                session_id=session_id,
            )

    async def revoke_token(self, token: str, client_info: ClientInfo) -> None:
        """End the session of a refresh or access token (RFC 7009). Any other token is ignored.

        A refresh token that was used before ends the session too.
        """
        session_id = self._session_id_of(token)
        if session_id is None:
            return
        now = self.clock.now()
        async with self.transaction():
            session = await self.sessions.lock_with_account(session_id)
            if session is not None and session.ended_at is None:
                session.end(EndReason.REVOKED, now)
                await self.sessions.save(session)
                await self.audit_log.record(
                    SecurityEventKind.SESSION_REVOKED,
                    user_id=session.user_id,
                    client_info=client_info,
                    session_id=session_id,
                )

    def _session_id_of(self, token: str) -> UUID | None:
        with suppress(InvalidRefreshToken):
            return self.key.read_refresh_token(token).session_id
        with suppress(NotAuthenticated):
            return self.access_tokens.read(token).session_id
        return None
