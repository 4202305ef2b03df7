"""`GET /errors`: every error that this program responds with, as JSON and as a page."""

import inspect
import re
from html import escape
from itertools import groupby
from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.errors import CATALOGUE, AppError, NotFound
from shared.http.html_pages import html_page
from shared.http.routing import Router, problems

router = Router(tags=["errors"])
_INTRODUCTION = (
    "Every response from 400 to 599 is a problem document (RFC 9457). Its <code>code</code> is one of these and stays"
    " the same in all versions."
)


class ErrorEntry(BaseModel):
    """One error of the catalogue."""

    code: str = Field(description="Stable name of the error.", examples=["files.in_trash"])
    status: int = Field(description="Status of the response.", examples=[409])
    title: str = Field(
        description="What errors of this kind have in common.", examples=["The present state forbids this"]
    )
    detail: str = Field(
        description="What it means.", examples=["This file is in the trash. Restore it first."]
    )
    cause: str = Field(
        description="What leads to this error.",
        examples=["The file is in the trash, where it can only be read and restored."],
    )
    remedy: str = Field(description="What to do about it.", examples=["Restore the file first."])


ErrorCode = Annotated[
    str, Path(description="`code` of a problem document.", examples=["request.invalid_input"])
]


class UnknownError(NotFound):
    """No error has this code."""

    code = "errors.unknown"
    remedy = "Look for the code in `GET /errors`."
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
    groups = groupby(sorted(entries, key=_subject), key=_subject)
    content = "".join(f"<h2>{escape(name)}</h2>{_table(list(group))}" for name, group in groups)
    return html_page("Errors", f"<p>{_INTRODUCTION}</p>{content}", is_wide=True)


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
    return html_page(entry.code, _explanation(entry))


def _entry(error: type[AppError]) -> ErrorEntry:
    cause = " ".join((inspect.getdoc(error) or error.detail).split())
    return ErrorEntry(
        code=error.code,
        status=error.status,
        title=error.title,
        detail=error.detail,
        cause=cause,
        remedy=error.remedy,
    )


def _subject(entry: ErrorEntry) -> str:
    return entry.code.partition(".")[0] if "." in entry.code else "all operations"


def _table(entries: list[ErrorEntry]) -> str:
    rows = "".join(
        f'<tr><td><a href="/errors/{escape(entry.code)}"><code>{escape(entry.code)}</code></a></td>'
        f"<td>{entry.status}</td><td>{_text(entry.detail)}</td></tr>"
        for entry in entries
    )
    return f"<table>{rows}</table>"


def _explanation(entry: ErrorEntry) -> str:
    parts = {"Message": entry.detail, "Cause": entry.cause, "What to do": entry.remedy}
    explained = "".join(f"<dt>{name}</dt><dd>{_text(text)}</dd>" for name, text in parts.items())
    return (
        f'<p class="kind">Status {entry.status}: {escape(entry.title)}</p><dl>{explained}</dl>'
        '<a href="/errors">All errors</a>'
    )


def _text(text: str) -> str:
    """Return text as HTML, with code for what stands between backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
