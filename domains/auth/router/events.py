"""HTTP routes of the audit log."""

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from domains.auth.schemas.events import SecurityEventBody, SecurityEventFilter
from domains.auth.service.events import EventService
from shared.db.pagination import Page, PageRequest, link_next, page_request
from shared.http.authentication import Admin
from shared.http.concurrency import Activity, Busy, RequestSlot, TooManyInProgress
from shared.http.request_slots import request_slot
from shared.http.routing import Router, problems
from shared.http.streaming import ClosingStreamingResponse, prefetched
from shared.wiring import accessor

router = Router(prefix="/v1/security-events", tags=["auth"])
Events = Annotated[EventService, Depends(accessor("auth.events", EventService))]
Filters = Annotated[SecurityEventFilter, Query()]
Paging = Annotated[PageRequest, page_request("created_at")]
ExportSlot = Annotated[RequestSlot, Depends(request_slot(Activity.DOWNLOAD, at_once=False))]
NDJSON = "application/x-ndjson"
_LINE = (
    '{"id":"0199c3f0-7a6e-7bd4-8f2e-3d1c5a9b7e42","kind":"login_failed","user_id":null,"session_id":null,'
    '"address":"192.0.2.7","agent":"curl/8.10","request_id":"0199c3f0","details":{},'
    '"created_at":"2026-03-14T09:26:53Z"}\n'
)


@router.get(
    "",
    summary="List security events",
    response_model=Page[SecurityEventBody],
    responses={
        200: {"content": {NDJSON: {"schema": {"type": "string"}, "example": _LINE}}},
        **problems(TooManyInProgress, Busy),
    },
)
async def list_security_events(
    request: Request,
    response: Response,
    _admin: Admin,
    events: Events,
    slot: ExportSlot,
    paging: Paging,
    filters: Filters,
) -> Page[SecurityEventBody] | Response:
    """Return a page of the audit log, the latest first: sign-ins, refusals, what administrators and operators did.

    With `Accept: application/x-ndjson` the answer is a stream of all events that match, an object on each line, the
    oldest first; `limit`, `cursor` and `sort` don't matter then. For administrators.
    """
    if NDJSON in request.headers.get("accept", ""):
        slot.enter()
        return ClosingStreamingResponse(
            await prefetched(events.lines(filters)), media_type=NDJSON, headers={"Vary": "Accept"}
        )
    response.headers["Vary"] = "Accept"
    return link_next(request, response, await events.page(paging, filters))
