"""The mails of this domain. Workers write them, so that the time of a request does not reveal whether one was sent."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from domains.auth.gateway.secrets import hash_of_token, new_one_time_token
from domains.auth.models import AccountStatus, OneTimeToken, TokenPurpose
from domains.auth.repository.accounts import AccountRepository
from domains.auth.repository.sessions import SessionRepository
from domains.auth.schemas.rows import RegistrationRow
from domains.auth.settings import AuthSettings
from domains.emails.public import Mailer, OutgoingMail, PreparedMail, WhenUncertain
from domains.users.public import Person, UserDirectory
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.ids import new_id
from shared.jobs import JobContext

VERIFY_PATH = "/verify-email"
RESET_PATH = "/reset-password"
FORGOT_PATH = "/forgot-password"


@dataclass(kw_only=True, eq=False)
class MailService:
    """Chooses and sends mails. A one-time token is made here; its hash commits with its mail.

    `links_url`: base of the links in mails, from the settings, never from a request.
    """

    accounts: AccountRepository
    sessions: SessionRepository
    users: UserDirectory
    mailer: Mailer
    links_url: str
    settings: AuthSettings
    transaction: TransactionFactory
    clock: Clock

    def __post_init__(self) -> None:
        """Remove the trailing slash, because each path begins with one."""
        self.links_url = self.links_url.rstrip("/")

    async def answer_registration(self, registration_id: UUID, context: JobContext) -> None:
        """Send the verification link, or a notice if the address has a verified account already."""
        registration = await self.accounts.find_registration(registration_id)
        person = await self._find_active_person(registration.user_id) if registration else None
        if registration is None or person is None:
            return
        if not person.email_verified:
            await self._send_verification(person, registration, context)
            return
        forgot_page = f"{self.links_url}{FORGOT_PATH}"
        prepared = self._prepare("already_registered", person, forgot_url=forgot_page)
        async with self.transaction():
            if not await self._lock_active(person):
                return
            # The address has an account, so no registration for it can be verified any more.
            await self.accounts.delete_registrations(person.id)
            await self.mailer.send(prepared)
            await context.finish()

    async def send_verification(self, user_id: UUID | None, context: JobContext) -> None:
        """Send the verification link again if exactly one registration is waiting, the one that created the account.

        Otherwise the link could activate the password of another person: send a reset link instead, so that the
        reader of the mail chooses a password, which verifies the address as well.
        """
        person = await self._find_active_person(user_id)
        if person is None or person.email_verified:
            return
        account = await self.accounts.find(person.id)
        waiting = await self.accounts.pending_registrations(person.id)
        if account is not None and [each.id for each in waiting] == [account.registration_id]:
            await self._send_verification(person, waiting[0], context)
        else:
            await self.send_reset(person.id, context)

    async def send_reset(self, user_id: UUID | None, context: JobContext) -> None:
        """Send the link that resets a password; earlier links become void."""
        person = await self._find_active_person(user_id)
        if person is None:
            return
        lifetime = self.settings.auth_reset_lifetime
        secret, token = self._token(person, TokenPurpose.RESET_PASSWORD, lifetime)
        prepared = self._prepare(
            "reset_password",
            person,
            secret=True,
            url=self._link(RESET_PATH, secret),
            lifetime=_format_duration(lifetime),
            begins_anew=not person.email_verified,
        )
        async with self.transaction():
            if not await self._lock_active(person):
                return
            # Only the latest link works: an older mail may have reached a shared or lost device.
            await self.accounts.void_tokens(person.id, TokenPurpose.RESET_PASSWORD, token.created_at)
            await self.accounts.insert(token)
            await self.mailer.send(prepared)
            await context.finish()

    async def tell_password_changed(self, user_id: UUID, context: JobContext) -> None:
        """Tell a person that their password was changed.

        An unverified address may be another person's, so it gets only the mails that verify and reset (limited).
        """
        person = await self._find_active_person(user_id)
        if person is not None and person.email_verified:
            await self._send("password_changed", person, context, forgot_url=f"{self.links_url}{FORGOT_PATH}")

    async def tell_new_sign_in(self, session_id: UUID, context: JobContext) -> None:
        """Tell a person of a sign-in from a new network or program. Unverified addresses get no mail."""
        session = await self.sessions.find(session_id)
        person = await self._find_active_person(session.user_id) if session else None
        if session is None or person is None or not person.email_verified:
            return
        await self._send(
            "new_sign_in",
            person,
            context,
            address=session.address,
            agent=session.agent or "unknown",
            moment=session.created_at,
            forgot_url=f"{self.links_url}{FORGOT_PATH}",
        )

    def address_changed(self, person: Person) -> PreparedMail:
        """Prepare the mail that tells the old address that the account has a new one."""
        return self._prepare("address_changed", person)

    async def _send_verification(
        self, person: Person, registration: RegistrationRow, context: JobContext
    ) -> None:
        lifetime = self.settings.auth_verify_lifetime
        secret, token = self._token(person, TokenPurpose.VERIFY_EMAIL, lifetime)
        token.registration_id = registration.id
        prepared = self._prepare(
            "verify_email",
            person,
            secret=True,
            locale=registration.locale,
            url=self._link(VERIFY_PATH, secret),
            moment=registration.created_at,
            lifetime=_format_duration(lifetime),
        )
        async with self.transaction():
            if not await self._lock_active(person):
                return
            await self.accounts.insert(token)
            await self.mailer.send(prepared)
            await context.finish()

    async def _send(self, template: str, person: Person, context: JobContext, **variables: Any) -> None:
        prepared = self._prepare(template, person, **variables)
        async with self.transaction():
            if not await self._lock_active(person):
                return
            await self.mailer.send(prepared)
            await context.finish()

    async def _lock_active(self, person: Person) -> bool:
        """Lock the account first in the transaction; return False if it was disabled or deleted meanwhile."""
        account = await self.accounts.lock(person.id)
        return account is not None and account.status is AccountStatus.ACTIVE

    async def _find_active_person(self, user_id: UUID | None) -> Person | None:
        """Return the user, if there is one with an active account."""
        if user_id is None:
            return None
        account = await self.accounts.find(user_id)
        if account is None or account.status is not AccountStatus.ACTIVE:
            return None
        return await self.users.find(user_id)

    def _prepare(
        self,
        template: str,
        person: Person,
        *,
        secret: bool = False,
        locale: str | None = None,
        **variables: Any,
    ) -> PreparedMail:
        return self.mailer.prepare(
            OutgoingMail(
                template=f"auth/{template}",
                to=person.email,
                to_name=person.name,
                variables={"name": person.name, **variables},
                locale=locale or person.locale,
                owner_id=person.id,
                # A second security mail is harmless, a missing one locks a person out.
                when_uncertain=WhenUncertain.RESEND,
                category="security",
                sensitive=secret,
            )
        )

    def _token(self, person: Person, purpose: TokenPurpose, lifetime: int) -> tuple[str, OneTimeToken]:
        now, secret = self.clock.now(), new_one_time_token()
        return secret, OneTimeToken(
            id=new_id(),
            purpose=purpose,
            user_id=person.id,
            token_hash=hash_of_token(secret),
            created_at=now,
            expires_at=now + timedelta(seconds=lifetime),
        )

    def _link(self, path: str, secret: str) -> str:
        return f"{self.links_url}{path}?{urlencode({'token': secret})}"


def _format_duration(seconds: int) -> str:
    """Say a duration in the largest unit that fits it exactly: `24 hours`, `30 minutes`."""
    for name, length in (("hour", 3600), ("minute", 60)):
        count, rest = divmod(seconds, length)
        if count and not rest:
            return f"{count} {name}" if count == 1 else f"{count} {name}s"
    return f"{seconds} seconds"
