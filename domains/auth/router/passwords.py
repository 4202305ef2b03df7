"""HTTP routes of passwords."""

from domains.auth.errors import HashingBusy, InvalidToken, PasswordRefused, TooManyAttempts, WrongPassword
from domains.auth.router.dependencies import Client, Passwords
from domains.auth.schemas.accounts import AcceptedBody, AddressRequest, PasswordReset, PasswordUpdate
from shared.http.authentication import Caller
from shared.http.routing import Router, problems

router = Router(prefix="/v1/auth/password", tags=["auth"])


@router.post(
    "/forgot", summary="Request a password reset", status_code=202, responses=problems(TooManyAttempts)
)
async def forgot_password(body: AddressRequest, passwords: Passwords, client_info: Client) -> AcceptedBody:
    """Have a link sent that resets the password. The answer is the same for every address."""
    await passwords.forgot(body.email, client_info)
    return AcceptedBody()


@router.post(
    "/reset",
    summary="Reset a password",
    status_code=204,
    responses=problems(InvalidToken, PasswordRefused, HashingBusy),
)
async def reset_password(body: PasswordReset, passwords: Passwords, client_info: Client) -> None:
    """Set a new password with the token from the mail. Every session ends.

    This also verifies the address. If it was unverified, the account begins anew, with a new user id: its files, name
    and language are deleted, because a stranger may have stored them.
    """
    await passwords.reset(body, client_info)


@router.post(
    "/change",
    summary="Change your password",
    status_code=204,
    responses=problems(WrongPassword, PasswordRefused, TooManyAttempts, HashingBusy),
)
async def change_password(
    body: PasswordUpdate, caller: Caller, passwords: Passwords, client_info: Client
) -> None:
    """Replace your password. Your other sessions end; you are told by mail."""
    await passwords.change(caller, body, client_info)
