"""`GET /errors`: every error that this program answers with, as JSON and as a page."""

from html import escape
from typing import Annotated

from fastapi import Path
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.errors import CATALOGUE, AppError, NotFound
from shared.http.routing import Router, problems

router = Router(tags=["errors"])

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><h1>{title}</h1>{body}</html>"""


class ErrorEntry(BaseModel):
    """One error of the catalogue."""

    code: str = Field(description="Stable name of the error.", examples=["users.email_taken"])
    status: int = Field(description="Status of the answer.", examples=[409])
    title: str = Field(
        description="What errors of this kind have in common.", examples=["The present state forbids this"]
    )
    detail: str = Field(description="What it means.", examples=["This address has an account already."])


ErrorCode = Annotated[
    str, Path(description="`code` of a problem document.", examples=["request.invalid_input"])
]


class UnknownError(NotFound):
    """No error has this code."""

    code = "errors.unknown"
    detail = "No error has this code; GET /errors lists them all."


@router.get(
    "/errors",
    summary="List every error",
    response_model=list[ErrorEntry],
    responses={200: {"content": {"text/html": {}}}},
)
async def list_errors(request: Request) -> Response:
    """Return the catalogue: what each `code` of a problem document means."""
    entries = [_entry(error) for _, error in sorted(CATALOGUE.items())]
    if not _wants_page(request):
        return JSONResponse([entry.model_dump() for entry in entries])
    rows = "".join(
        f'<li><a href="/errors/{escape(entry.code)}"><code>{escape(entry.code)}</code></a> '
        f"({entry.status}) {escape(entry.detail)}</li>"
        for entry in entries
    )
    return HTMLResponse(_PAGE.format(title="Errors", body=f"<ul>{rows}</ul>"))


@router.get(
    "/errors/{code}",
    summary="Explain an error",
    response_model=ErrorEntry,
    responses={200: {"content": {"text/html": {}}}, **problems(UnknownError)},
)
async def read_error(request: Request, code: ErrorCode) -> Response:
    """Return what one `code` means. The `type` of every problem document leads here."""
    error = CATALOGUE.get(code)
    if error is None:
        raise UnknownError
    entry = _entry(error)
    if not _wants_page(request):
        return JSONResponse(entry.model_dump())
    body = f"<p>{escape(entry.detail)}</p><p>Status {entry.status}: {escape(entry.title)}.</p>"
    return HTMLResponse(_PAGE.format(title=escape(entry.code), body=body))


def _entry(error: type[AppError]) -> ErrorEntry:
    return ErrorEntry(code=error.code, status=error.status, title=error.title, detail=error.detail)


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
