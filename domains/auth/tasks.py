"""The jobs of accounts: mails that requests leave to workers, and what has to be erased."""

from datetime import timedelta

from domains.auth.public import AccountDeleted, PasswordChanged
from domains.auth.service.accounts import AccountService
from domains.auth.service.housekeeping import Housekeeping
from domains.auth.service.job_definitions import (
    ANSWER_REGISTRATION,
    NEW_SIGN_IN,
    PURGE,
    RESET,
    VERIFY,
    MailRequest,
    NewSignIn,
    RegistrationReceived,
)
from domains.auth.service.mails import MailService
from shared.jobs import JobContext, NoPayload, job

_MAILS = "auth.mails"


@job(ANSWER_REGISTRATION)
async def answer_registration(payload: RegistrationReceived, context: JobContext) -> None:
    """Write to who registered."""
    await context.provide(_MAILS, MailService).answer_registration(payload.registration_id, context)


@job(VERIFY)
async def send_verification(payload: MailRequest, context: JobContext) -> None:
    """Send the verification link once more."""
    await context.provide(_MAILS, MailService).send_verification(payload.user_id, context)


@job(RESET)
async def send_password_reset(payload: MailRequest, context: JobContext) -> None:
    """Send the link that resets a password."""
    await context.provide(_MAILS, MailService).send_reset(payload.user_id, context)


@job("auth.tell_password_changed", on=PasswordChanged)
async def tell_password_changed(payload: PasswordChanged, context: JobContext) -> None:
    """Tell of a changed password."""
    await context.provide(_MAILS, MailService).tell_password_changed(payload.user_id, context)


@job(NEW_SIGN_IN)
async def tell_new_sign_in(payload: NewSignIn, context: JobContext) -> None:
    """Tell of a sign-in from somewhere new."""
    await context.provide(_MAILS, MailService).tell_new_sign_in(payload.session_id, context)


# An account that was deleted must be erased, however long something is down: a day of attempts.
@job(PURGE, on=AccountDeleted, max_attempts=20, timeout=600)
async def purge_account(payload: AccountDeleted, context: JobContext) -> None:
    """Erase what a deleted account leaves behind."""
    await context.provide("auth.accounts", AccountService).purge(payload.user_id, context)


@job("auth.sweep", every=timedelta(hours=1), timeout=300)
async def sweep(_payload: NoPayload, context: JobContext) -> None:
    """Delete sessions, tokens and counters that nobody can use any more."""
    await context.provide("auth.housekeeping", Housekeeping).sweep(context)


@job("auth.close_unverified", every=timedelta(hours=1), timeout=300)
async def close_unverified(_payload: NoPayload, context: JobContext) -> None:
    """Delete accounts whose address was never verified."""
    await context.provide("auth.housekeeping", Housekeeping).close_unverified()
