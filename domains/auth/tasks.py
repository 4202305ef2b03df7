"""Handlers of the jobs of accounts."""

from domains.auth.job_types import (
    ANSWER_REGISTRATION,
    CLOSE_UNVERIFIED,
    PURGE_ACCOUNT,
    SEND_PASSWORD_RESET,
    SEND_VERIFICATION,
    SWEEP,
    TELL_NEW_SIGN_IN,
    TELL_PASSWORD_CHANGED,
    MailRequest,
    NewSignIn,
    RegistrationReceived,
)
from domains.auth.public import AccountDeleted, PasswordChanged
from domains.auth.service.accounts import AccountService
from domains.auth.service.housekeeping import Housekeeping
from domains.auth.service.mails import MailService
from shared.jobs import JobContext, NoPayload

_MAILS = "auth.mails"


@ANSWER_REGISTRATION.handler
async def answer_registration(payload: RegistrationReceived, context: JobContext) -> None:
    """Send the mail that answers a registration."""
    await context.provide(_MAILS, MailService).answer_registration(payload.registration_id, context)


@SEND_VERIFICATION.handler
async def send_verification(payload: MailRequest, context: JobContext) -> None:
    """Send the verification link again."""
    await context.provide(_MAILS, MailService).send_verification(payload.user_id, context)


@SEND_PASSWORD_RESET.handler
async def send_password_reset(payload: MailRequest, context: JobContext) -> None:
    """Send the link that resets a password."""
    await context.provide(_MAILS, MailService).send_reset(payload.user_id, context)


@TELL_PASSWORD_CHANGED.handler
async def tell_password_changed(payload: PasswordChanged, context: JobContext) -> None:
    """Send a mail about a changed password."""
    await context.provide(_MAILS, MailService).tell_password_changed(payload.user_id, context)


@TELL_NEW_SIGN_IN.handler
async def tell_new_sign_in(payload: NewSignIn, context: JobContext) -> None:
    """Send a mail about a sign-in from a new network or program."""
    await context.provide(_MAILS, MailService).tell_new_sign_in(payload.session_id, context)


@PURGE_ACCOUNT.handler
async def purge_account(payload: AccountDeleted, context: JobContext) -> None:
    """Erase the data of a deleted account."""
    await context.provide("auth.accounts", AccountService).purge(payload.user_id, context)


@SWEEP.handler
async def sweep(_payload: NoPayload, context: JobContext) -> None:
    """Delete expired sessions, tokens and counters."""
    await context.provide("auth.housekeeping", Housekeeping).sweep(context)


@CLOSE_UNVERIFIED.handler
async def close_unverified(_payload: NoPayload, context: JobContext) -> None:
    """Delete accounts whose address was never verified."""
    await context.provide("auth.housekeeping", Housekeeping).close_unverified()
