"""Sign-in by password, and renewal by refresh token."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from domains.auth.errors import AddressNotVerified, InvalidCredentials, InvalidRefreshToken, RefreshReused
from domains.auth.gateway.access_tokens import AccessTokens
from domains.auth.gateway.passwords import PasswordHasher, Verification
from domains.auth.gateway.secrets import RefreshClaim, TokenKeys
from domains.auth.job_types import TELL_NEW_SIGN_IN, NewSignIn
from domains.auth.models import (
    AccountStatus,
    EndReason,
    RefreshTokenState,
    SecurityEventKind,
    Session,
)
from domains.auth.repository.accounts import AccountRepository
from domains.auth.repository.sessions import SessionRepository
from domains.auth.schemas.client_info import ClientInfo
from domains.auth.schemas.rows import LogInRow, SignInRow
from domains.auth.schemas.tokens import IssuedTokens
from domains.auth.service.audit_log import AuditLog
from domains.auth.service.limits import Limits, LoginAttempt
from domains.auth.settings import AuthSettings
from domains.users.public import Person, UserDirectory
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.ids import new_id
from shared.jobs import Outbox

_UNKNOWN_USER_ID = UUID(int=0)
"""Looked up for unknown addresses, so that they cost the same statements."""


@dataclass(kw_only=True, eq=False)
class SignInService:
    """Starts sessions and renews their tokens."""

    accounts: AccountRepository
    sessions: SessionRepository
    users: UserDirectory
    limits: Limits
    hasher: PasswordHasher
    key: TokenKeys
    access_tokens: AccessTokens
    audit_log: AuditLog
    outbox: Outbox
    settings: AuthSettings
    transaction: TransactionFactory
    clock: Clock

    async def log_in(self, username: str, password: str, client_info: ClientInfo) -> IssuedTokens:
        """Start a session.

        An unknown address, a wrong password and a disabled account do the same work and raise the same error, so the
        response does not reveal which it was.

        Raises:
            InvalidCredentials: the address is unknown, the password wrong or the account disabled.
            AddressNotVerified: the password is right, but this installation requires verified addresses.
            TooManyAttempts: too many failures for this address or from this network.
        """
        person, account = await self._find(username, client_info)
        async with self.limits.serialized_login(
            username, client_info, is_known=_is_known(account)
        ) as has_waited:
            if has_waited:  # the password may have been changed meanwhile
                person, account = await self._find(username, client_info)
            attempt = await self.limits.count_login(username, client_info, is_known=_is_known(account))
            try:
                return await self._log_in(person, account, password, attempt, client_info)
            except InvalidCredentials:
                raise
            # Cancellation too: a client that disconnects must not be counted as a failed sign-in.
            except BaseException:
                await self.limits.release_login(attempt)
                raise

    async def _find(self, username: str, client_info: ClientInfo) -> tuple[Person | None, LogInRow | None]:
        person = await self.users.find_by_address(username)
        account = await self.accounts.find_to_log_in(
            person.id if person else _UNKNOWN_USER_ID, client_info.network
        )
        return person, account

    async def _log_in(
        self,
        person: Person | None,
        account: SignInRow | None,
        password: str,
        attempt: LoginAttempt,
        client_info: ClientInfo,
    ) -> IssuedTokens:
        # Also without an account: the time of a response must not reveal whether the address is known.
        verification = await self.hasher.verify(password, account.usable_hash if account else None)
        if account is None or not verification.matches:
            await self._note_failure(account.user_id if account else None, client_info)
            raise InvalidCredentials
        if self.settings.auth_require_verified_email and not (person and person.email_verified):
            await self._note_failure(account.user_id, client_info, reason="address not verified")
            raise AddressNotVerified
        try:
            return await self._begin(account, verification, attempt, client_info)
        except InvalidCredentials:
            await self._note_failure(account.user_id, client_info, reason="account changed meanwhile")
            raise

    async def refresh(self, token: str, client_info: ClientInfo) -> IssuedTokens:
        """Renew a session's tokens.

        Locks run parallel calls one after the other, so that there is exactly one successor: the first call rotates
        the token, the others present its direct parent and get the same successor. An old token ends the session,
        which is committed before the error is raised.

        Raises:
            InvalidRefreshToken: not issued here, or the session has ended.
            RefreshReused: it was used before; the session has ended now.
        """
        # Checked without the database: invented tokens cost no query.
        claim = self.key.read_refresh_token(token)
        now = self.clock.now()
        async with self.transaction(separate=True):
            session = await self.sessions.lock_with_account(claim.session_id)
            state = self._refresh_token_state(session, claim.counter, now)
            if session is not None and state is RefreshTokenState.CURRENT:
                session.rotate(now=now, idle=timedelta(days=self.settings.auth_refresh_idle_days))
                await self.sessions.save(session)
            if session is not None and state is RefreshTokenState.OLD:
                await self._end_reused(session, client_info, now)
        if session is None or state is RefreshTokenState.OVER:
            raise InvalidRefreshToken
        if state is RefreshTokenState.OLD:
            raise RefreshReused
        return self._issue(session)

    async def _begin(
        self, seen: SignInRow, verification: Verification, attempt: LoginAttempt, client_info: ClientInfo
    ) -> IssuedTokens:
        now = self.clock.now()
        async with self.transaction():
            account = await self.accounts.lock(seen.user_id)
            if (
                account is None
                or account.status is not AccountStatus.ACTIVE
                or account.credentials_version != seen.credentials_version
            ):
                raise InvalidCredentials
            if verification.new_hash is not None:
                account.password_hash = verification.new_hash
            account.last_sign_in_at = now
            await self.accounts.save(account)
            session = await self.sessions.insert(self._session(seen.user_id, client_info, now))
            await self._notify_if_unfamiliar(session)
            await self.audit_log.record(
                SecurityEventKind.LOGIN_SUCCEEDED,
                user_id=seen.user_id,
                client_info=client_info,
                session_id=session.id,
            )
            # Last, because a whole network shares a counter, which stays locked until the commit.
            await self.limits.forgive_login(attempt)
        return self._issue(session)

    async def _note_failure(self, user_id: UUID | None, client_info: ClientInfo, **details: Any) -> None:
        async with self.transaction(separate=True):
            await self.audit_log.record(
                SecurityEventKind.LOGIN_FAILED, user_id=user_id, client_info=client_info, **details
            )

    async def _notify_if_unfamiliar(self, session: Session) -> None:
        """Announce by mail a sign-in from a new network or with a new program, unless it is the first ever."""
        known = await self.sessions.familiarity(session.user_id, session.id, session.network, session.agent)
        if known.earlier > 0 and known.alike == 0:
            await self.outbox.enqueue(TELL_NEW_SIGN_IN, NewSignIn(session_id=session.id))

    def _refresh_token_state(self, session: Session | None, counter: int, now: datetime) -> RefreshTokenState:
        if session is None:
            return RefreshTokenState.OVER
        return session.refresh_token_state(
            counter, now=now, grace=timedelta(seconds=self.settings.auth_refresh_grace)
        )

    async def _end_reused(self, session: Session, client_info: ClientInfo, now: datetime) -> None:
        session.end(EndReason.REUSED, now)
        await self.sessions.save(session)
        await self.audit_log.record(
            SecurityEventKind.REFRESH_REUSED,
            user_id=session.user_id,
            client_info=client_info,
            session_id=session.id,
        )

    def _session(self, user_id: UUID, client_info: ClientInfo, now: datetime) -> Session:
        absolute = now + timedelta(days=self.settings.auth_refresh_absolute_days)
        idle = now + timedelta(days=self.settings.auth_refresh_idle_days)
        return Session(
            id=new_id(),
            user_id=user_id,
            rotated_at=now,
            created_at=now,
            last_used_at=now,
            idle_expires_at=min(idle, absolute),
            absolute_expires_at=absolute,
            address=client_info.address,
            network=client_info.network,
            agent=client_info.agent,
        )

    def _issue(self, session: Session) -> IssuedTokens:
        now = self.clock.now()
        lifetime = timedelta(seconds=self.settings.auth_access_lifetime)
        # Services that verify tokens by signature alone must not accept one after the session's end.
        expires_at = min(now + lifetime, session.absolute_expires_at)
        return IssuedTokens(
            access_token=self.access_tokens.issue(session.user_id, session.id, expires_at=expires_at),
            token_type="Bearer",  # noqa: S106  # a type, no secret
            expires_in=max(0, int((expires_at - now).total_seconds())),
            refresh_token=self.key.refresh_token(RefreshClaim(session.id, session.counter)),
            session_id=session.id,
        )


def _is_known(account: LogInRow | None) -> bool:
    return account is not None and account.is_known
