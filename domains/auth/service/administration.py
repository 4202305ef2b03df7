"""What administrators and operators do to the accounts of others. The audit log has each act with its actor."""

from dataclasses import dataclass
from uuid import UUID

from domains.auth.errors import (
    AccountNotFound,
    AddressRefused,
    AddressTaken,
    InactiveAccount,
    OwnAccount,
    UnverifiedAccount,
)
from domains.auth.job_types import SEND_PASSWORD_RESET, MailRequest
from domains.auth.models import Account, AccountStatus, EndReason, Role, SecurityEventKind, TokenPurpose
from domains.auth.repository.accounts import AccountRepository
from domains.auth.repository.sessions import SessionRepository
from domains.auth.service.account_lifecycle import AccountLifecycle
from domains.auth.service.audit_log import AuditLog
from domains.auth.service.mails import MailService
from domains.users.public import UserDirectory, normalised_address
from shared.audit import Actor
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.jobs import Outbox


@dataclass(kw_only=True, eq=False)
class AdministrationService:
    """Disables, enables, erases and changes accounts. Every method raises AccountNotFound, also for a deleted one.

    Raises PreconditionFailed if the user was changed since the administrator read it (`If-Match`).
    """

    accounts: AccountRepository
    sessions: SessionRepository
    users: UserDirectory
    lifecycle: AccountLifecycle
    mails: MailService
    audit_log: AuditLog
    outbox: Outbox
    transaction: TransactionFactory
    clock: Clock

    async def disable(self, actor: Actor, user_id: UUID) -> None:
        """Disable an account and end every session: its next request is refused.

        Raises:
            OwnAccount: administrators can't lock themselves out.
            LastAdministrator: no other account can administer this installation.
        """
        _refuse_own_account(actor, user_id)
        async with self.transaction():
            account = await self._locked(user_id)
            await self.lifecycle.require_other_administrator(account)
            now = self.clock.now()
            account.set_status(AccountStatus.DISABLED, now)
            await self.accounts.save(account)
            await self.sessions.end_all(user_id, EndReason.ACCOUNT_DISABLED, now)
            await self.audit_log.note(SecurityEventKind.ACCOUNT_DISABLED, actor, user_id=user_id)

    async def enable(self, actor: Actor, user_id: UUID) -> None:
        """Enable an account; its owner has to sign in again."""
        async with self.transaction():
            account = await self._locked(user_id)
            account.set_status(AccountStatus.ACTIVE, self.clock.now())
            await self.accounts.save(account)
            await self.audit_log.note(SecurityEventKind.ACCOUNT_ENABLED, actor, user_id=user_id)

    async def erase(self, actor: Actor, user_id: UUID) -> None:
        """Close an account for good, disabled or not; a job erases its data.

        Raises:
            OwnAccount: administrators delete their own account with their password.
            LastAdministrator: no other account can administer this installation.
        """
        _refuse_own_account(actor, user_id)
        async with self.transaction():
            account = await self._locked(user_id)
            await self.lifecycle.close(account)
            await self.audit_log.note(SecurityEventKind.ACCOUNT_DELETED, actor, user_id=user_id)

    async def end_sessions(self, actor: Actor, user_id: UUID) -> int:
        """End every session; return how many there were."""
        async with self.transaction():
            await self._locked(user_id)
            now = self.clock.now()
            ended = await self.sessions.end_all(user_id, EndReason.REVOKED, now)
            await self.audit_log.note(
                SecurityEventKind.SESSION_REVOKED, actor, user_id=user_id, scope="all", number=ended
            )
        return ended

    async def set_role(self, actor: Actor, user_id: UUID, role: Role) -> None:
        """Make a person an administrator or an ordinary user, from the next request on.

        Raises:
            OwnAccount: administrators can't lock themselves out.
            LastAdministrator: no other account can administer this installation.
            UnverifiedAccount: a stranger may have registered the address.
        """
        _refuse_own_account(actor, user_id)
        async with self.transaction():
            account = await self._locked(user_id)
            if role is Role.ADMIN:
                await self._require_verified(user_id)
            else:
                await self.lifecycle.require_other_administrator(account)
            before, account.role = account.role, role
            account.updated_at = self.clock.now()
            await self.accounts.save(account)
            await self.audit_log.note(
                SecurityEventKind.ROLE_CHANGED, actor, user_id=user_id, role=role.value, before=before.value
            )

    async def set_email(self, actor: Actor, user_id: UUID, email: str) -> None:
        """Give an account another address, which counts as verified if the one before was.

        Every session ends, and links in earlier mails stop working. A mail tells the old address, if it was verified.

        Raises:
            AddressRefused: not a mail address.
            AddressTaken: another account has it.
        """
        try:
            normalised_address(email)
        except ValueError as error:
            raise AddressRefused(str(error)) from error
        person = await self.users.find(user_id)
        if person is None:
            raise AccountNotFound
        news = self.mails.address_changed(person) if person.email_verified else None
        async with self.transaction():
            account = await self._locked(user_id)
            if not await self.users.change_address(user_id, email):
                raise AddressTaken
            await self._forget_address(account)
            await self.audit_log.note(SecurityEventKind.ADDRESS_CHANGED, actor, user_id=user_id)
            if news is not None:
                await self.mails.mailer.send(news)

    async def send_reset(self, actor: Actor, user_id: UUID) -> None:
        """Send a password reset mail. It does not count towards any limit.

        Raises:
            InactiveAccount: the account is disabled.
        """
        async with self.transaction():
            account = await self._locked(user_id)
            if account.status is not AccountStatus.ACTIVE:
                raise InactiveAccount
            await self.audit_log.note(SecurityEventKind.PASSWORD_RESET_REQUESTED, actor, user_id=user_id)
            await self.outbox.enqueue(SEND_PASSWORD_RESET, MailRequest(user_id=user_id))

    async def _locked(self, user_id: UUID) -> Account:
        account = await self.accounts.lock(user_id)
        if account is None or account.status is AccountStatus.DELETING:
            raise AccountNotFound
        await self.users.lock(user_id)
        return account

    async def _require_verified(self, user_id: UUID) -> None:
        person = await self.users.find(user_id)
        if person is None or not person.email_verified:
            raise UnverifiedAccount

    async def _forget_address(self, account: Account) -> None:
        """Void the tokens that were sent to the old address, and its registrations."""
        now = self.clock.now()
        for purpose in TokenPurpose:
            await self.accounts.void_tokens(account.user_id, purpose, now)
        await self.accounts.delete_registrations(account.user_id)
        await self.sessions.end_all(account.user_id, EndReason.ADDRESS_CHANGED, now)


def _refuse_own_account(actor: Actor, user_id: UUID) -> None:
    if actor.user_id == user_id:
        raise OwnAccount
