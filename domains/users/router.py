"""HTTP routes of users."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from domains.users.errors import UserNotFound
from domains.users.schemas import AdministeredUser, UserBody, UserFilter, UserUpdate
from domains.users.service import UserService
from shared.db.pagination import Page, PageRequest, link_next, page_request
from shared.http.authentication import Admin, Caller
from shared.http.routing import Router, problems
from shared.wiring import accessor

router = Router(prefix="/v1/users", tags=["users"])

Users = Annotated[UserService, Depends(accessor("users.service", UserService))]
Filters = Annotated[UserFilter, Query()]
Paging = Annotated[PageRequest, page_request("created_at", "email")]


@router.get("/me", summary="Read your profile", responses=problems(UserNotFound))
async def read_me(caller: Caller, users: Users) -> UserBody:
    """Return the user whose token this is."""
    return await users.read(caller.user_id)


@router.patch("/me", summary="Change your profile", responses=problems(UserNotFound))
async def change_me(caller: Caller, users: Users, change: UserUpdate) -> UserBody:
    """Change your name or the language of your mails. A field that you leave out stays as it is; null empties it."""
    return await users.change(caller.user_id, change)


@router.get("", summary="List users")
async def list_users(
    request: Request, response: Response, _admin: Admin, users: Users, paging: Paging, filters: Filters
) -> Page[AdministeredUser]:
    """Return a page of all users. For administrators."""
    return link_next(request, response, await users.page(paging, filters))


@router.get("/{user_id}", summary="Read a user", responses=problems(UserNotFound))
async def read_user(user_id: UUID, _admin: Admin, users: Users) -> AdministeredUser:
    """Return a user. For administrators."""
    return await users.read_administered(user_id)
