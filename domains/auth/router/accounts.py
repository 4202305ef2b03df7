"""HTTP routes for whole accounts, below the paths of users."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Response

from domains.auth.errors import (
    AccountNotFound,
    HashingBusy,
    LastAdministrator,
    OwnAccount,
    TooManyAttempts,
    UnverifiedAccount,
    WrongPassword,
)
from domains.auth.router.dependencies import Accounts, Client, Sessions
from domains.auth.schemas.accounts import AccountDelete, AccountUpdate
from domains.auth.schemas.sessions import SessionBody
from domains.auth.service.administration import AdministrationService
from shared.audit import ActingAdmin
from shared.db.pagination import Page, PageRequest, link_next, page_request
from shared.http.authentication import Admin, Caller
from shared.http.routing import Router, problems
from shared.wiring import accessor

router = Router(prefix="/v1/users", tags=["users"])
Administration = Annotated[
    AdministrationService, Depends(accessor("auth.administration", AdministrationService))
]
Paging = Annotated[PageRequest, page_request("created_at", "last_used_at")]


@router.delete(
    "/me",
    summary="Delete your account",
    status_code=204,
    responses=problems(WrongPassword, TooManyAttempts, HashingBusy, LastAdministrator),
)
async def delete_me(body: AccountDelete, caller: Caller, accounts: Accounts, client_info: Client) -> None:
    """Close your account for good: every session ends now, and your files, mails and jobs are erased by a job."""
    await accounts.delete(caller, body.password, client_info)


@router.delete(
    "/{user_id}",
    summary="Erase an account",
    status_code=204,
    responses=problems(AccountNotFound, OwnAccount, LastAdministrator),
)
async def erase_account(user_id: UUID, admin: ActingAdmin, administration: Administration) -> None:
    """Close an account for good, disabled or not: every session ends now, and a job erases its files, mails and jobs.

    For administrators. Delete your own account with `DELETE /v1/users/me`.
    """
    await administration.erase(admin, user_id)


@router.patch(
    "/{user_id}",
    summary="Change the role of an account",
    status_code=204,
    responses=problems(AccountNotFound, OwnAccount, LastAdministrator, UnverifiedAccount),
)
async def change_account(
    user_id: UUID, change: AccountUpdate, admin: ActingAdmin, administration: Administration
) -> None:
    """Make a person an administrator, or an ordinary user again, from the next request on. For administrators.

    An administrator's address must be verified.
    """
    await administration.set_role(admin, user_id, change.role)


@router.post(
    "/{user_id}/disable",
    summary="Disable an account",
    status_code=204,
    responses=problems(AccountNotFound, OwnAccount, LastAdministrator),
)
async def disable_account(user_id: UUID, admin: ActingAdmin, administration: Administration) -> None:
    """Disable the account and end its sessions, from the next request on. For administrators."""
    await administration.disable(admin, user_id)


@router.post(
    "/{user_id}/enable",
    summary="Enable an account",
    status_code=204,
    responses=problems(AccountNotFound),
)
async def enable_account(user_id: UUID, admin: ActingAdmin, administration: Administration) -> None:
    """Enable the account; its owner has to sign in again. For administrators."""
    await administration.enable(admin, user_id)


@router.get("/{user_id}/sessions", summary="List the sessions of an account")
async def list_account_sessions(
    request: Request, response: Response, user_id: UUID, _admin: Admin, sessions: Sessions, paging: Paging
) -> Page[SessionBody]:
    """Return the sessions of a person. For administrators."""
    page = await sessions.page(user_id, paging)
    link_next(request, response, page)
    return page.map(lambda row: SessionBody.of(row, current=_admin.session_id))


@router.delete(
    "/{user_id}/sessions",
    summary="End the sessions of an account",
    status_code=204,
    responses=problems(AccountNotFound),
)
async def end_account_sessions(user_id: UUID, admin: ActingAdmin, administration: Administration) -> None:
    """End all sessions of a person; their access tokens stop working at once. For administrators."""
    await administration.end_sessions(admin, user_id)
