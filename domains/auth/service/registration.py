"""Registration and address verification."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domains.auth.errors import InvalidToken
from domains.auth.gateway.passwords import PasswordHasher
from domains.auth.gateway.secrets import hash_of_token
from domains.auth.job_types import (
    ANSWER_REGISTRATION,
    SEND_VERIFICATION,
    MailRequest,
    RegistrationReceived,
)
from domains.auth.models import (
    Account,
    AccountStatus,
    Registration,
    SecurityEventKind,
    TokenPurpose,
)
from domains.auth.repository.accounts import AccountRepository
from domains.auth.schemas.accounts import RegistrationCreate
from domains.auth.schemas.client_info import ClientInfo
from domains.auth.service.account_lifecycle import AccountLifecycle, NewOwner
from domains.auth.service.audit_log import AuditLog
from domains.auth.service.limits import Limits
from domains.auth.service.passwords import check_password
from domains.users.public import NewPerson, UserDirectory
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.ids import new_id
from shared.jobs import Outbox


@dataclass(kw_only=True, eq=False)
class RegistrationService:
    """Registers people without revealing which addresses are registered.

    Each registration has its own password, which counts only after the link in its own mail is followed. So
    registering the address of another person first gains nothing.
    """

    accounts: AccountRepository
    users: UserDirectory
    lifecycle: AccountLifecycle
    limits: Limits
    hasher: PasswordHasher
    audit_log: AuditLog
    outbox: Outbox
    transaction: TransactionFactory
    clock: Clock

    async def register(self, body: RegistrationCreate, client_info: ClientInfo) -> None:
        """Store a registration; a worker sends the mail. The same statements run whether or not the address is known.

        Raises:
            PasswordRefused: the password is easily guessed.
            TooManyAttempts: too many registrations of this mailbox, or from this network.
        """
        check_password(body.password, email=body.email)
        await self.limits.count_mail(body.email, client_info)
        password_hash = await self.hasher.hash(body.password)
        now = self.clock.now()
        async with self.transaction():
            person = await self.users.find_or_add(
                NewPerson(id=new_id(), email=body.email, name=body.name, locale=body.locale)
            )
            registration = _registration(person.id, body, password_hash, now)
            await self.accounts.insert_unless(_account(registration), "user_id")
            await self.accounts.insert(registration)
            await self.audit_log.record(
                SecurityEventKind.REGISTRATION_REQUESTED, user_id=person.id, client_info=client_info
            )
            await self.outbox.enqueue(
                ANSWER_REGISTRATION, RegistrationReceived(registration_id=registration.id)
            )

    async def resend(self, email: str, client_info: ClientInfo) -> None:
        """Send the verification mail again if the address is unverified. The work is the same if it is not.

        Raises:
            TooManyAttempts: too many mails to this mailbox, or requested from this network.
        """
        await self.limits.count_mail(email, client_info)
        person = await self.users.find_by_address(email)
        async with self.transaction():
            await self.outbox.enqueue(SEND_VERIFICATION, MailRequest(user_id=person.id if person else None))

    async def verify(self, token: str, client_info: ClientInfo) -> None:
        """Verify an address with the token of a registration's mail.

        A new account with the password, name and language of that registration replaces the unverified one. Its data,
        sessions and tokens are deleted: a stranger may have registered the address first.

        Raises:
            InvalidToken: unknown, used or expired.
        """
        found = await self.accounts.find_token(hash_of_token(token), TokenPurpose.VERIFY_EMAIL)
        if found is None:
            raise InvalidToken
        async with self.transaction():
            account = await self.accounts.lock(found.user_id)
            registration = await self._use(token)
            if account is None or registration is None or account.status is not AccountStatus.ACTIVE:
                raise InvalidToken
            await self.lifecycle.replace(account, _owner(account, registration), client_info)

    async def _use(self, token: str) -> Registration | None:
        now = self.clock.now()
        found = await self.accounts.lock_token(hash_of_token(token), TokenPurpose.VERIFY_EMAIL)
        if found is None or not found.is_usable(now) or found.registration_id is None:
            raise InvalidToken
        found.used_at = now
        await self.accounts.save(found)
        return await self.accounts.load_registration(found.registration_id)


def _registration(user_id: UUID, body: RegistrationCreate, password_hash: str, now: datetime) -> Registration:
    return Registration(
        user_id=user_id, password_hash=password_hash, name=body.name, locale=body.locale, created_at=now
    )


def _owner(account: Account, registration: Registration) -> NewOwner:
    """Return the registration's values, but the account's password if this registration created the account.

    That password may have been changed since.
    """
    founded = account.registration_id == registration.id
    return NewOwner(
        password_hash=account.password_hash if founded else registration.password_hash,
        name=registration.name,
        locale=registration.locale,
    )


def _account(registration: Registration) -> Account:
    """Return the account that this registration creates if the user has none."""
    return Account(
        user_id=registration.user_id,
        password_hash=registration.password_hash,
        registration_id=registration.id,
        created_at=registration.created_at,
        updated_at=registration.created_at,
    )
