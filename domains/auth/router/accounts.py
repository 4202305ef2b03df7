"""HTTP of whole accounts. The paths are those of users; what happens is this domain's knowledge."""

from uuid import UUID

from domains.auth.errors import AccountNotFound, HashingBusy, OwnAccount, TooManyAttempts, WrongPassword
from domains.auth.router.visitor import Accounts, From
from domains.auth.schemas import DeleteAccountBody
from shared.http.routing import Router, problems
from shared.identity import Admin, Caller

router = Router(prefix="/v1/users", tags=["users"])


@router.delete(
    "/me",
    summary="Delete your account",
    status_code=204,
    responses=problems(WrongPassword, TooManyAttempts, HashingBusy),
)
async def delete_me(body: DeleteAccountBody, caller: Caller, accounts: Accounts, visitor: From) -> None:
    """Close your account for good: every session ends now, and your files, mails and jobs are erased by a job."""
    await accounts.delete(caller, body.password, visitor)


@router.post(
    "/{user_id}/disable",
    summary="Disable an account",
    status_code=204,
    responses=problems(AccountNotFound, OwnAccount),
)
async def disable_account(user_id: UUID, admin: Admin, accounts: Accounts, visitor: From) -> None:
    """Let nobody into this account any more, from the next request on. For administrators."""
    await accounts.disable(admin, user_id, visitor)


@router.post(
    "/{user_id}/enable",
    summary="Enable an account",
    status_code=204,
    responses=problems(AccountNotFound),
)
async def enable_account(user_id: UUID, admin: Admin, accounts: Accounts, visitor: From) -> None:
    """Let the owner in again; they sign in anew. For administrators."""
    await accounts.enable(admin, user_id, visitor)
