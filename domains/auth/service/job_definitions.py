"""What requests leave to workers: kinds of jobs, and what they carry: ids, never an address or a secret."""

from uuid import UUID

from pydantic import BaseModel

ANSWER_REGISTRATION = "auth.answer_registration"
VERIFY = "auth.send_verification"
RESET = "auth.send_password_reset"
NEW_SIGN_IN = "auth.tell_new_sign_in"
PURGE = "auth.purge_account"


class RegistrationReceived(BaseModel):
    """A registration that waits for its mail. It has no owner: its owner must not see who tried to register."""

    registration_id: UUID


class MailRequest(BaseModel):
    """A mail that anybody may have asked for; `user_id` is None when the address is unknown."""

    user_id: UUID | None


class NewSignIn(BaseModel):
    """A sign-in from a network or with a program that the person had not used before."""

    session_id: UUID
