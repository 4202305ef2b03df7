"""The router that every domain uses: strict JSON bodies and parameters, and errors named in the OpenAPI document."""

import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from functools import cache
from inspect import Parameter, signature
from typing import Any, TypeVar

from fastapi import APIRouter, params
from fastapi._compat import field_annotation_is_sequence
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from pydantic.fields import FieldInfo
from starlette.requests import Request
from starlette.responses import Response

from shared.errors import AppError, BadRequest, Unprocessable
from shared.http.description import ERRORS, operation_metadata
from shared.http.endpoint_wrapper import wrap_endpoint, wrap_handler
from shared.http.problems import UnreadableBody, pointer_to
from shared.http.strict_json import parse

EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_CHARSET = re.compile(r"""\bcharset\s*=\s*"?([^\s";]*)""")
_STREAMS = "__streams_body__"
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_NAMED, _LONGEST_NAME = 20, 100


class UnsupportedMediaType(AppError):
    """The operation does not accept bodies of this type."""

    code = "request.unsupported_media_type"
    remedy = "Send the type that the documentation lists, usually `application/json`."
    status = 415
    title = "Unsupported media type"
    detail = "This operation accepts only `application/json`."


MAX_FORM_FIELDS = 1000
"""Fields of a form, also empty ones. Each costs the event loop time."""


class UnknownParameters(Unprocessable):
    """The query has parameters that the operation does not have.

    They are refused, because a misspelt filter would show everything.
    """

    code = "request.unknown_parameters"
    remedy = "Remove or correct the parameters in `errors`."
    detail = "The query has unknown parameters; see `errors`."


class RepeatedParameters(Unprocessable):
    """A query parameter that takes one value was sent several times."""

    code = "request.repeated_parameters"
    remedy = "Send each of the parameters in `errors` once."
    detail = "A single-valued query parameter was repeated; see `errors`."


class RepeatedFields(BadRequest):
    """A form field that takes one value was sent several times.

    A proxy may have read another value than the server.
    """

    code = "request.repeated_form_fields"
    remedy = "Send each of the fields in `errors` once."
    detail = "A single-valued form field was repeated; see `errors`."


class StrictRequest(Request):
    """A request whose JSON was read strictly, before FastAPI asks for it."""

    parsed: Any = None

    async def json(self) -> Any:
        """Return the body's value."""
        return self.parsed


class StrictRoute(APIRoute):
    """Parses JSON strictly, rejects other types and unknown parameters, applies Idempotency-Key and preconditions."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, wrap_endpoint(endpoint), **options)
        self.openapi_extra = {**(self.openapi_extra or {}), **operation_metadata(self)}

    def get_route_handler(self) -> Handler:
        """Wrap FastAPI's handler."""
        handler = self._wrapped_handler(self.dependant)
        if self.include_in_schema:
            handler = self._knowing_parameters(
                handler, unasked=self._wrapped_handler(without_query(self.dependant))
            )
        if self.body_field is None:
            return handler
        if isinstance(self.body_field.field_info, params.Form):
            return _reading_forms(handler, _several_values(self.body_field.field_info.annotation))

        async def strict(request: Request) -> Response:
            strict_request = StrictRequest(request.scope, request.receive)
            body = await strict_request.body()
            if body:
                if not _is_json(request.headers.get("content-type", "")):
                    raise UnsupportedMediaType
                strict_request.parsed = parse(body)
            return await handler(strict_request)

        return strict

    def _wrapped_handler(self, dependant: Dependant) -> Handler:
        """Return FastAPI's handler that resolves the parameters of `dependant`, inside the endpoint wrapper."""
        # FastAPI's `get_route_handler` reads the attribute, so it is replaced while the handler is built.
        own, self.dependant = self.dependant, dependant
        try:
            handler = super().get_route_handler()
        finally:
            self.dependant = own
        return wrap_handler(handler, route=self, streams=does_stream_body(self.endpoint))

    def _knowing_parameters(self, handler: Handler, *, unasked: Handler) -> Handler:
        # With the first query: FastAPI makes a validator for each field of a filter.
        @cache
        def known() -> dict[str, bool]:
            """Return the names, and whether a parameter may have several values."""
            return {
                field.alias: field_annotation_is_sequence(field.field_info.annotation)
                for field in get_flat_params(self.dependant)
                if field.alias not in self.param_convertors
            }

        async def knowing(request: Request) -> Response:
            given = request.query_params
            if not given:
                # Most requests have no query: this handler skips all query parameters.
                return await unasked(request)
            unknown = given.keys() - known().keys()
            if unknown:
                raise UnknownParameters(
                    errors=_each(unknown, "extra_forbidden", "There is no such parameter.")
                )
            if len(given) < len(given.multi_items()):
                names = [name for name, _ in given.multi_items()]
                repeated = {name for name in given if names.count(name) > 1 and not known()[name]}
                if repeated:
                    raise RepeatedParameters(errors=_each(repeated, "repeated", "It has one value."))
            return await handler(request)

        return knowing


class Router(APIRouter):
    """An `APIRouter` with the rules of this application."""

    def __init__(self, *, prefix: str = "", tags: list[str] | None = None) -> None:
        super().__init__(
            prefix=prefix,
            tags=list(tags or []),
            route_class=StrictRoute,
            generate_unique_id_function=_name_of,
            redirect_slashes=False,
        )


def streams_body(endpoint: EndpointT) -> EndpointT:
    """Mark an endpoint that reads its body as a stream and limits its size itself."""
    setattr(endpoint, _STREAMS, True)
    return endpoint


def does_stream_body(endpoint: Callable[..., Any]) -> bool:
    """Return whether the endpoint was marked by `streams_body`."""
    return getattr(endpoint, _STREAMS, False) is True


def problems(*errors: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """Return `responses=` of an operation: the errors that are its own.

    Errors of every operation need not be listed: missing token or scope, invalid input, limits.
    """
    found: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        found.setdefault(error.status, {}).setdefault(ERRORS, []).append(error.code)
    return found


def without_query(dependant: Dependant) -> Dependant:
    """Return the dependant without its query parameters, for requests that have no query.

    FastAPI looks for each of them and validates its default, which together cost more than the endpoint does.
    """
    parameters = signature(dependant.call).parameters if dependant.call is not None else {}
    needed = [
        field
        for field in dependant.query_params
        if field.name not in parameters or not _has_default(parameters[field.name])
    ]
    return replace(
        dependant,
        query_params=needed,
        dependencies=[without_query(each) for each in dependant.dependencies],
    )


def _has_default(parameter: Parameter) -> bool:
    """Whether Python knows the value of a parameter that isn't given. `= Query(...)` is no value."""
    return parameter.default is not Parameter.empty and not isinstance(parameter.default, FieldInfo)


def _reading_forms(handler: Handler, several: frozenset[str]) -> Handler:
    async def read_form(request: Request) -> Response:
        content_type = request.headers.get("content-type", "")
        if content_type and content_type.partition(";")[0].strip().lower() not in _FORMS:
            raise UnsupportedMediaType(f"This operation reads `{_FORMS[0]}`.")
        body = await request.body()  # cached by the request, because a form can be read only once as a stream
        if body.count(b"&") > MAX_FORM_FIELDS:  # Starlette's parser doesn't count empty fields
            raise UnreadableBody(f"The form has more than {MAX_FORM_FIELDS} fields.")
        given = Counter(name for name, _ in (await request.form()).multi_items())
        repeated = {name for name, times in given.items() if times > 1 and name not in several}
        if repeated:
            raise RepeatedFields(errors=_each_field(repeated, "repeated", "It has one value."))
        return await handler(request)

    return read_form


def _several_values(form: Any) -> frozenset[str]:
    """Return the names of the form fields that are lists."""
    fields = getattr(form, "model_fields", {})
    return frozenset(
        field.alias or name
        for name, field in fields.items()
        if field_annotation_is_sequence(field.annotation)
    )


def _each(names: Iterable[str], code: str, detail: str) -> list[dict[str, str]]:
    return [
        {"parameter": name[:_LONGEST_NAME], "code": code, "detail": detail} for name in sorted(names)[:_NAMED]
    ]


def _each_field(names: Iterable[str], code: str, detail: str) -> list[dict[str, str]]:
    return [{"pointer": pointer_to(name), "code": code, "detail": detail} for name in sorted(names)[:_NAMED]]


def _is_json(content_type: str) -> bool:
    """Whether it is JSON, which is UTF-8 (RFC 8259, section 8.1): a `charset` that says otherwise is another type."""
    media_type, _, parameters = content_type.lower().partition(";")
    if (charset := _CHARSET.search(parameters)) and charset[1] != "utf-8":
        return False
    media_type = media_type.strip()
    return media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


def _name_of(route: APIRoute) -> str:
    """The function's name is the operation's id: it makes a good client method."""
    return route.name
