"""HTTP of registering and of verifying an address."""

from domains.auth.errors import HashingBusy, InvalidToken, PasswordRefused, TooManyAttempts
from domains.auth.router.visitor import From, Registrations
from domains.auth.schemas import AcceptedBody, AddressBody, RegisterBody, TokenBody
from shared.http.routing import Router, problems

router = Router(prefix="/v1/auth", tags=["auth"])


@router.post(
    "/register",
    summary="Register",
    status_code=202,
    responses=problems(PasswordRefused, TooManyAttempts, HashingBusy),
)
async def register(body: RegisterBody, registrations: Registrations, visitor: From) -> AcceptedBody:
    """Ask for an account. The answer is the same whether or not the address has one; its owner learns more by mail.

    The mail has a link that verifies the address and makes this registration's password the account's.
    """
    await registrations.register(body, visitor)
    return AcceptedBody()


@router.post("/email/verify", summary="Verify an address", status_code=204, responses=problems(InvalidToken))
async def verify_email(body: TokenBody, registrations: Registrations, visitor: From) -> None:
    """Verify an address with the token from its mail.

    The account begins anew, with a new user id and the password, name and language of that registration. Earlier
    sessions end, and data stored earlier is deleted, because a stranger may have stored it.
    """
    await registrations.verify(body.token, visitor)


@router.post(
    "/email/verify/resend",
    summary="Ask for the verification mail again",
    status_code=202,
    responses=problems(TooManyAttempts),
)
async def resend_verification(body: AddressBody, registrations: Registrations, visitor: From) -> AcceptedBody:
    """Have the link sent again. The answer is the same for every address."""
    await registrations.resend(body.email, visitor)
    return AcceptedBody()
