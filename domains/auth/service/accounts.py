"""Accounts are created by operators, deleted by their owners and erased by a job."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from domains.auth.errors import AccountNotFound, AddressRefused, AddressTaken, PasswordRefused
from domains.auth.gateway.passwords import PasswordHasher
from domains.auth.job_types import PURGE_ACCOUNT
from domains.auth.models import Account, AccountStatus, Role, SecurityEventKind
from domains.auth.public import AccountDeleted
from domains.auth.repository.accounts import AccountRepository
from domains.auth.repository.sessions import SessionRepository
from domains.auth.schemas.accounts import MAX_PASSWORD
from domains.auth.schemas.client_info import ClientInfo
from domains.auth.schemas.rows import SignInRow
from domains.auth.service.account_lifecycle import AccountLifecycle, NewOwner
from domains.auth.service.audit_log import AuditLog
from domains.auth.service.passwords import PasswordCheck, check_password
from domains.files.public import ErasureRecords
from domains.users.public import NewPerson, UserDirectory, normalised_address
from shared.audit import Actor
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.identity import Principal
from shared.ids import new_id
from shared.jobs import JobContext, JobOptions, Outbox
from shared.personal_data import PersonalDataEraser
from shared.text import composed, is_longer

_MIN_PASSWORD = 8
_SECOND_PURGE = timedelta(hours=1)
"""Delay after the first purge. Requests that take longer check their account again (`AccountLock`)."""


@dataclass(kw_only=True, eq=False)
class AccountService:
    """Creates, deletes and erases accounts.

    `erasers` returns the `PersonalDataEraser` of each domain, lowest rank first.
    """

    accounts: AccountRepository
    sessions: SessionRepository
    users: UserDirectory
    lifecycle: AccountLifecycle
    check: PasswordCheck
    hasher: PasswordHasher
    audit_log: AuditLog
    outbox: Outbox
    erasers: Callable[[], Sequence[PersonalDataEraser]]
    erasures: ErasureRecords
    transaction: TransactionFactory
    clock: Clock

    async def create_admin(self, email: str, password: str, actor: Actor | None = None) -> UUID:
        """Create an administrator with a verified address. Called only by the command line.

        Raises:
            AddressRefused: not a mail address.
            AddressTaken: the address has a verified account already.
            PasswordRefused: the password is too short, too long or easily guessed.
        """
        _check(email, password)
        password_hash = await self.hasher.hash(password)
        provisional = await self.users.find_by_address(email)
        if provisional is not None and not provisional.email_verified:
            return await self._replace_by_admin(provisional.id, password_hash, actor)
        return await self._add_admin(email, password_hash, actor)

    async def _replace_by_admin(self, user_id: UUID, password_hash: str, actor: Actor | None) -> UUID:
        """Replace an unverified account: a stranger may have registered the address first."""
        async with self.transaction():
            account = await self.accounts.lock(user_id)
            if account is None or account.status is AccountStatus.DELETING:
                raise AddressTaken
            new = NewOwner(password_hash=password_hash, role=Role.ADMIN)
            admin_id = await self.lifecycle.replace(account, new)
            await self._note_admin(admin_id, actor)
        return admin_id

    async def _add_admin(self, email: str, password_hash: str, actor: Actor | None) -> UUID:
        now, user_id = self.clock.now(), new_id()
        async with self.transaction():
            person = await self.users.find_or_add(NewPerson(id=user_id, email=email, email_verified=True))
            if person.id != user_id:
                raise AddressTaken
            await self.accounts.insert(
                Account(
                    user_id=user_id,
                    password_hash=password_hash,
                    role=Role.ADMIN,
                    created_at=now,
                    updated_at=now,
                )
            )
            await self._note_admin(user_id, actor)
        return user_id

    async def _note_admin(self, user_id: UUID, actor: Actor | None) -> None:
        by = {} if actor is None else actor.details
        await self.audit_log.record(SecurityEventKind.ADMIN_CREATED, user_id=user_id, **by)

    async def delete(self, principal: Principal, password: str, client_info: ClientInfo) -> None:
        """Close the caller's account for good; a job erases its data.

        Raises:
            WrongPassword: the password is wrong; nothing was changed.
            TooManyAttempts: too many wrong ones.
            LastAdministrator: no other account can administer this installation.
        """
        await self.check.confirm(principal.user_id, password, client_info)
        async with self.transaction():
            account = await self.accounts.lock(principal.user_id)
            if account is None or account.status is not AccountStatus.ACTIVE:
                raise AccountNotFound
            await self.users.lock(account.user_id)
            await self.lifecycle.close(account)
            await self.audit_log.record(
                SecurityEventKind.ACCOUNT_DELETED, user_id=account.user_id, client_info=client_info
            )

    async def purge(self, user_id: UUID, context: JobContext) -> None:
        """Erase a deleted account and its data, domain by domain; safe to repeat.

        The erasure is recorded first, so that restoring a backup does not bring the account back.
        The account's own row is deleted last, so that the address can't be registered while data is left. A request
        that was authenticated before may still store something; a second purge erases it an hour later.
        """
        account = await self.accounts.find(user_id)
        if account is not None and not await self._is_to_be_erased(account):
            return
        await self.erasures.record(user_id)
        erasers = self.erasers()
        for done, eraser in enumerate(erasers):
            await context.progress(done, len(erasers))
            async with self.transaction():
                await self.accounts.lock(user_id)
                await eraser.purge(user_id)
        async with self.transaction():
            await self.accounts.lock(user_id)
            await self.sessions.delete_all_of(user_id)
            await self.accounts.delete_all_of(user_id)
            if account is not None:
                later = JobOptions(run_at=self.clock.now() + _SECOND_PURGE)
                await self.outbox.enqueue(PURGE_ACCOUNT, AccountDeleted(user_id=user_id), later)
            await context.finish()

    async def _is_to_be_erased(self, account: SignInRow) -> bool:
        """Tell whether the account is being deleted, or was added while its user was being erased."""
        return account.status is AccountStatus.DELETING or await self.users.find(account.user_id) is None


def _check(email: str, password: str) -> None:
    try:
        normalised_address(email)
    except ValueError as error:
        raise AddressRefused(str(error)) from error
    if is_longer(password, MAX_PASSWORD) or len(composed(password)) < _MIN_PASSWORD:
        raise PasswordRefused(f"A password has {_MIN_PASSWORD} to {MAX_PASSWORD} characters.")
    check_password(password, email=email)
