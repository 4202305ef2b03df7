"""Passwords: rules, confirmation of an operation, change and reset."""

from dataclasses import dataclass
from uuid import UUID

from domains.auth.errors import InvalidToken, PasswordRefused, WrongPassword
from domains.auth.gateway.common_passwords import is_common
from domains.auth.gateway.passwords import PasswordHasher
from domains.auth.gateway.secrets import hash_of_token
from domains.auth.job_types import SEND_PASSWORD_RESET, MailRequest
from domains.auth.models import Account, AccountStatus, EndReason, SecurityEventKind, TokenPurpose
from domains.auth.public import PasswordChanged
from domains.auth.repository.accounts import AccountRepository
from domains.auth.repository.sessions import SessionRepository
from domains.auth.schemas.accounts import PasswordReset, PasswordUpdate
from domains.auth.schemas.client_info import ClientInfo
from domains.auth.schemas.rows import SignInRow
from domains.auth.service.account_lifecycle import AccountLifecycle, NewOwner
from domains.auth.service.audit_log import AuditLog
from domains.auth.service.limits import Limits
from domains.users.public import Person, UserDirectory, key_of_address
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.identity import Principal, SessionEnded
from shared.jobs import Outbox


def check_password(password: str, *, email: str) -> None:
    """Refuse passwords that are guessed first (NIST SP 800-63B, section 5.1.1.2); no composition rules, no expiry.

    Raises:
        PasswordRefused: on the list of common ones, or the address or its local part.
    """
    address = key_of_address(email)
    folded = password.strip().casefold()
    if is_common(password) or folded in {address, email.casefold(), address.partition("@")[0]}:
        raise PasswordRefused


@dataclass(kw_only=True, eq=False)
class PasswordCheck:
    """Confirms an operation by the present password."""

    accounts: AccountRepository
    limits: Limits
    hasher: PasswordHasher
    audit_log: AuditLog
    transaction: TransactionFactory

    async def confirm(self, user_id: UUID, password: str, client_info: ClientInfo) -> SignInRow:
        """Return the account as it was when the password was checked.

        Raises:
            WrongPassword: it is not the present one.
            TooManyAttempts: too many wrong ones.
        """
        await self.limits.count_password_check(user_id)
        account = await self.accounts.find(user_id)
        if account is None:
            raise SessionEnded
        verification = await self.hasher.verify(password, account.usable_hash)
        if not verification.matches:
            async with self.transaction(separate=True):
                await self.audit_log.record(
                    SecurityEventKind.PASSWORD_CHECK_FAILED, user_id=user_id, client_info=client_info
                )
            raise WrongPassword
        await self.limits.forgive_password_check(user_id)
        return account


@dataclass(kw_only=True, eq=False)
class PasswordService:
    """Changes a known password, and resets a forgotten one."""

    accounts: AccountRepository
    sessions: SessionRepository
    users: UserDirectory
    lifecycle: AccountLifecycle
    check: PasswordCheck
    limits: Limits
    hasher: PasswordHasher
    audit_log: AuditLog
    outbox: Outbox
    transaction: TransactionFactory
    clock: Clock

    async def forgot(self, email: str, client_info: ClientInfo) -> None:
        """Send a reset mail if the address has an account. The work is the same if it has none.

        Raises:
            TooManyAttempts: too many mails to this mailbox, or requested from this network.
        """
        await self.limits.count_mail(email, client_info)
        person = await self.users.find_by_address(email)
        user_id = person.id if person else None
        async with self.transaction():
            await self.audit_log.record(
                SecurityEventKind.PASSWORD_RESET_REQUESTED, user_id=user_id, client_info=client_info
            )
            await self.outbox.enqueue(SEND_PASSWORD_RESET, MailRequest(user_id=user_id))

    async def begins_anew(self, token: str) -> bool:
        """Tell whether a reset with this token would delete what the account stores: its address is unverified.

        False also for a token that is unknown, used or expired.
        """
        person = await self._find_person(token)
        return person is not None and not person.email_verified

    async def reset(self, body: PasswordReset, client_info: ClientInfo) -> None:
        """Set a new password with the token of a reset mail. Every session ends.

        If the address was unverified, it becomes verified and the account is replaced (`AccountLifecycle.replace`).

        Raises:
            InvalidToken: unknown, used, expired, or replaced by a newer one.
            PasswordRefused: the new password is easily guessed.
        """
        person = await self._check_reset(body)
        password_hash = await self.hasher.hash(body.password)
        async with self.transaction():
            account = await self._use(body.token, person.id)
            if person.email_verified:
                user_id = await self._set(account, password_hash)
            else:
                user_id = await self.lifecycle.replace(
                    account, NewOwner(password_hash=password_hash), client_info
                )
            await self._record_change(user_id, SecurityEventKind.PASSWORD_RESET, client_info)
            await self.limits.forgive_address(person.email, client_info)

    async def change(self, principal: Principal, body: PasswordUpdate, client_info: ClientInfo) -> None:
        """Replace the password; every other session ends, and reset tokens are void.

        Raises:
            WrongPassword: the present password is another.
            PasswordRefused: the new one is easily guessed.
            TooManyAttempts: too many wrong ones.
        """
        person = await self.users.find(principal.user_id)
        if person is None or principal.session_id is None:
            raise SessionEnded
        check_password(body.new_password, email=person.email)
        seen = await self.check.confirm(principal.user_id, body.current_password, client_info)
        password_hash = await self.hasher.hash(body.new_password)
        now = self.clock.now()
        async with self.transaction():
            account = await self.accounts.lock(principal.user_id)
            if account is None or account.credentials_version != seen.credentials_version:
                raise WrongPassword
            account.set_password(password_hash, now)
            await self.accounts.save(account)
            await self.accounts.void_tokens(account.user_id, TokenPurpose.RESET_PASSWORD, now)
            await self.sessions.end_others(
                account.user_id, principal.session_id, EndReason.PASSWORD_CHANGED, now
            )
            await self._record_change(account.user_id, SecurityEventKind.PASSWORD_CHANGED, client_info)

    async def _check_reset(self, body: PasswordReset) -> Person:
        """Refuse a bad token or password before any time is spent on hashing; return its user."""
        person = await self._find_person(body.token)
        if person is None:
            raise InvalidToken
        check_password(body.password, email=person.email)
        return person

    async def _find_person(self, secret: str) -> Person | None:
        """Return the user of a reset token, if the token can be used."""
        token = await self.accounts.find_token(hash_of_token(secret), TokenPurpose.RESET_PASSWORD)
        if token is None or token.used_at is not None or token.expires_at <= self.clock.now():
            return None
        return await self.users.find(token.user_id)

    async def _use(self, token: str, user_id: UUID) -> Account:
        """Lock the account and mark the token as used; return the account."""
        now = self.clock.now()
        account = await self.accounts.lock(user_id)
        if account is None or account.status is not AccountStatus.ACTIVE:
            raise InvalidToken
        found = await self.accounts.lock_token(hash_of_token(token), TokenPurpose.RESET_PASSWORD)
        if found is None or not found.is_usable(now):
            raise InvalidToken
        found.used_at = now
        await self.accounts.save(found)
        return account

    async def _set(self, account: Account, password_hash: str) -> UUID:
        """Set the password, end all sessions and void all tokens and registrations; return the user id."""
        now = self.clock.now()
        account.set_password(password_hash, now)
        await self.accounts.save(account)
        for purpose in TokenPurpose:
            await self.accounts.void_tokens(account.user_id, purpose, now)
        await self.accounts.delete_registrations(account.user_id)
        await self.sessions.end_all(account.user_id, EndReason.PASSWORD_CHANGED, now)
        return account.user_id

    async def _record_change(self, user_id: UUID, event: SecurityEventKind, client_info: ClientInfo) -> None:
        await self.audit_log.record(event, user_id=user_id, client_info=client_info)
        await self.outbox.publish(PasswordChanged(user_id=user_id))
