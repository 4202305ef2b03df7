"""HTTP of passwords."""

from domains.auth.errors import HashingBusy, InvalidToken, PasswordRefused, TooManyAttempts, WrongPassword
from domains.auth.router.visitor import From, Passwords
from domains.auth.schemas import AcceptedBody, AddressBody, ChangePasswordBody, ResetBody
from shared.http.routing import Router, problems
from shared.identity import Caller

router = Router(prefix="/v1/auth/password", tags=["auth"])


@router.post(
    "/forgot", summary="Ask for a new password", status_code=202, responses=problems(TooManyAttempts)
)
async def forgot_password(body: AddressBody, passwords: Passwords, visitor: From) -> AcceptedBody:
    """Have a link sent that resets the password. The answer is the same for every address."""
    await passwords.forgot(body.email, visitor)
    return AcceptedBody()


@router.post(
    "/reset",
    summary="Reset a password",
    status_code=204,
    responses=problems(InvalidToken, PasswordRefused, HashingBusy),
)
async def reset_password(body: ResetBody, passwords: Passwords, visitor: From) -> None:
    """Set a new password with the token from the mail. Every session ends.

    This also verifies the address. If it was unverified, the account begins anew, with a new user id: its files, name
    and language are deleted, because a stranger may have stored them.
    """
    await passwords.reset(body, visitor)


@router.post(
    "/change",
    summary="Change your password",
    status_code=204,
    responses=problems(WrongPassword, PasswordRefused, TooManyAttempts, HashingBusy),
)
async def change_password(
    body: ChangePasswordBody, caller: Caller, passwords: Passwords, visitor: From
) -> None:
    """Replace your password. Your other sessions end; you are told by mail."""
    await passwords.change(caller, body, visitor)
