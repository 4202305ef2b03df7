"""One shape for every answer from 400 to 599 (RFC 9457)."""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.errors import AppError, BadRequest, FieldProblem, NotFound, Unprocessable
from shared.trace import current_trace

MAX_FIELD_PROBLEMS = 50
_PLAIN = {
    "uuid_parsing": "Input should be a valid UUID.",
    "union_tag_invalid": "Input is of no kind that is known.",
}
"""Messages that replace those which quote the input."""


class InvalidInput(Unprocessable):
    """Fields of the input break their rules."""

    code = "request.invalid_input"
    remedy = "Correct the fields that `errors` lists."
    detail = "Some of the input is invalid; see `errors`."


class UnknownPath(NotFound):
    """No route matches the path."""

    code = "request.unknown_path"
    remedy = "Check the path against `/docs` or `/openapi.json`."
    detail = "No resource has this path."


class MethodNotAllowed(AppError):
    """The path exists, but not with this method."""

    code = "request.method_not_allowed"
    remedy = "Use one of the methods that `Allow` lists."
    status = 405
    title = "Method not allowed"
    detail = "This path does not support this method. `Allow` lists the methods that it supports."


class UnreadableBody(BadRequest):
    """The body ended early, or does not have the format of its type."""

    code = "request.unreadable_body"
    detail = "The body can't be parsed."


class ProblemResponse(JSONResponse):
    """A problem document."""

    media_type = "application/problem+json"


_BY_STATUS: Mapping[int, type[AppError]] = {400: UnreadableBody, 404: UnknownPath, 405: MethodNotAllowed}


class ProblemWriter:
    """Turns exceptions into problem documents; knows the public address of the catalogue."""

    headers: ClassVar[dict[str, str]] = {"Cache-Control": "no-store"}

    def __init__(self, *, public_url: str, methods_at: Callable[[str], set[str]] | None = None) -> None:
        self._public_url = public_url.rstrip("/")
        self._methods_at = methods_at

    def install(self, app: FastAPI) -> None:
        """Answer every exception of the application, but for unexpected ones: see `EdgeMiddleware`."""
        app.add_exception_handler(AppError, self._app_error)
        app.add_exception_handler(RequestValidationError, self._invalid)
        app.add_exception_handler(HTTPException, self._http)

    def response(self, error: AppError, path: str, headers: Mapping[str, str] | None = None) -> Response:
        """Return the answer for an error at a path."""
        return ProblemResponse(
            {
                "type": f"{self._public_url}/errors/{error.code}",
                "title": error.title,
                "status": error.status,
                "detail": error.detail,
                "instance": path,
                "code": error.code,
                "request_id": current_trace().request_id,
                **error.extensions,
            },
            status_code=error.status,
            headers={**self.headers, **error.headers, **(headers or {})},
        )

    async def _app_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, AppError)  # noqa: S101  # what add_exception_handler promises
        return self.response(error, request.url.path)

    async def _invalid(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101  # as above
        found = [_field(problem) for problem in error.errors()[:MAX_FIELD_PROBLEMS]]
        return self.response(
            InvalidInput(errors=[field.model_dump(exclude_none=True) for field in found]), request.url.path
        )

    async def _http(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  # as above
        known = _BY_STATUS.get(error.status_code)
        problem = known() if known else _unnamed(error.status_code)
        headers = dict(error.headers or {})
        if known is MethodNotAllowed and self._methods_at:
            headers["Allow"] = ", ".join(sorted(self._methods_at(request.url.path)))
        return self.response(problem, request.url.path, headers)


def pointer_to(*path: object) -> str:
    """Return the JSON Pointer (RFC 6901, section 6) of a place in the body."""
    return "#" + "".join(f"/{_escaped(part)}" for part in path)


def _unnamed(status: int) -> AppError:
    problem = AppError(HTTPStatus(status).description or None)
    problem.__dict__.update(code="http_error", status=status, title=HTTPStatus(status).phrase)
    return problem


def _field(problem: Mapping[str, Any]) -> FieldProblem:
    """Describe one broken rule; the value itself is never echoed."""
    location: Sequence[Any] = problem["loc"]
    place, path = location[0], location[1:]
    detail = _PLAIN.get(problem["type"]) or _sentence(str(problem["msg"]).encode("utf-8", "replace").decode())
    if place == "body":
        return FieldProblem(pointer=pointer_to(*path), code=problem["type"], detail=detail)
    return FieldProblem(parameter=".".join(str(part) for part in path), code=problem["type"], detail=detail)


def _sentence(said: str) -> str:
    """Return a validation message as a sentence."""
    text = said.removeprefix("Value error, ")
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _escaped(part: object) -> str:
    text = str(part).encode("utf-8", "replace").decode()[:200]
    return text.replace("~", "~0").replace("/", "~1")
