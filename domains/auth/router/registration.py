"""HTTP routes of registration and address verification."""

from domains.auth.errors import HashingBusy, InvalidToken, PasswordRefused, TooManyAttempts
from domains.auth.router.dependencies import Client, Registrations
from domains.auth.schemas.accounts import (
    AcceptedBody,
    AddressRequest,
    RegistrationCreate,
    VerificationRequest,
)
from shared.http.routing import Router, problems

router = Router(prefix="/v1/auth", tags=["auth"])


@router.post(
    "/register",
    summary="Register",
    status_code=202,
    responses=problems(PasswordRefused, TooManyAttempts, HashingBusy),
)
async def register(
    body: RegistrationCreate, registrations: Registrations, client_info: Client
) -> AcceptedBody:
    """Ask for an account. The answer is the same whether or not the address has one; its owner learns more by mail.

    The mail has a link that verifies the address and makes this registration's password the account's.
    """
    await registrations.register(body, client_info)
    return AcceptedBody()


@router.post("/email/verify", summary="Verify an address", status_code=204, responses=problems(InvalidToken))
async def verify_email(body: VerificationRequest, registrations: Registrations, client_info: Client) -> None:
    """Verify an address with the token from its mail.

    The account begins anew, with a new user id and the password, name and language of that registration. Earlier
    sessions end, and data stored earlier is deleted, because a stranger may have stored it.
    """
    await registrations.verify(body.token, client_info)


@router.post(
    "/email/verify/resend",
    summary="Resend the verification mail",
    status_code=202,
    responses=problems(TooManyAttempts),
)
async def resend_verification(
    body: AddressRequest, registrations: Registrations, client_info: Client
) -> AcceptedBody:
    """Have the link sent again. The answer is the same for every address."""
    await registrations.resend(body.email, client_info)
    return AcceptedBody()
