"""HTTP routes for sessions: sign out, list and end sessions."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response

from domains.auth.errors import SessionNotFound
from domains.auth.router.dependencies import Client, Sessions
from domains.auth.schemas.sessions import SessionBody
from domains.auth.service.sessions import LogoutScope
from shared.db.pagination import Page, PageRequest, link_next, page_request
from shared.http.authentication import Caller
from shared.http.routing import Router, problems

router = Router(prefix="/v1/auth", tags=["auth"])

Paging = Annotated[PageRequest, page_request("created_at", "last_used_at")]


@router.post("/logout", summary="Sign out", status_code=204)
async def log_out(
    caller: Caller,
    sessions: Sessions,
    client_info: Client,
    scope: Annotated[LogoutScope, Query(description="Which of your sessions end.")] = LogoutScope.THIS,
) -> None:
    """End this session, the others or all. Their access tokens stop working at once."""
    await sessions.log_out(caller, scope, client_info)


@router.get("/sessions", summary="List your sessions")
async def list_sessions(
    request: Request, response: Response, caller: Caller, sessions: Sessions, paging: Paging
) -> Page[SessionBody]:
    """Return where you are signed in."""
    page = await sessions.page(caller.user_id, paging)
    link_next(request, response, page)
    return page.map(lambda row: SessionBody.of(row, current=caller.session_id))


@router.delete(
    "/sessions/{session_id}",
    summary="End a session",
    status_code=204,
    responses=problems(SessionNotFound),
)
async def revoke_session(session_id: UUID, caller: Caller, sessions: Sessions, client_info: Client) -> None:
    """End one of your sessions."""
    await sessions.revoke(caller, session_id, client_info)
