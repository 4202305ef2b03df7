"""The jobs of accounts. Payloads carry ids, never an address or a secret."""

from datetime import timedelta
from uuid import UUID

from pydantic import BaseModel

from domains.auth.public import AccountDeleted, PasswordChanged
from shared.jobs import JobType


class RegistrationReceived(BaseModel):
    """A registration that waits for its mail. Its job has no owner: the owner must not see who tried to register."""

    registration_id: UUID


class MailRequest(BaseModel):
    """A mail that was requested for an address; `user_id` is None if the address is unknown."""

    user_id: UUID | None


class NewSignIn(BaseModel):
    """A sign-in from a network or with a program that the person had not used before."""

    session_id: UUID


ANSWER_REGISTRATION = JobType("auth.answer_registration", RegistrationReceived)
SEND_VERIFICATION = JobType("auth.send_verification", MailRequest)
SEND_PASSWORD_RESET = JobType("auth.send_password_reset", MailRequest)
TELL_PASSWORD_CHANGED = JobType("auth.tell_password_changed", on=PasswordChanged)
TELL_NEW_SIGN_IN = JobType("auth.tell_new_sign_in", NewSignIn)
# A deleted account must be erased even if another server is away for long: these attempts last a day.
PURGE_ACCOUNT = JobType("auth.purge_account", on=AccountDeleted, max_attempts=20, timeout=600)
SWEEP = JobType("auth.sweep", every=timedelta(hours=1), timeout=300)
CLOSE_UNVERIFIED = JobType("auth.close_unverified", every=timedelta(hours=1), timeout=300)
