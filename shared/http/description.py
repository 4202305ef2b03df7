"""What the OpenAPI document says about keys and conditions: told once, for every operation that has them."""

import inspect
from typing import Any

from fastapi.routing import APIRoute

from shared.errors import AppError
from shared.http.conditional import MalformedCondition
from shared.http.idempotency import REPLAYED, needs_key, takes_key
from shared.idempotency import AnswerNotKept, InProgress, KeyRequired, KeyReused, MalformedKey
from shared.preconditions import PreconditionFailed
from shared.schemas import RevisedBody

_REMARKS = "x-exchange"
_CHANGING = frozenset({"patch", "put", "delete"})
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_TAG: dict[str, Any] = {"schema": {"type": "string"}, "example": '"3-9f86d081884c7d65"'}


def remarks_on(route: APIRoute) -> dict[str, Any]:
    """Return what `describe_exchanges` has to know of an operation, as an extension of it."""
    model = route.response_model
    revised = inspect.isclass(model) and issubclass(model, RevisedBody)
    return {
        _REMARKS: {"revised": revised, "key": takes_key(route), "key_required": needs_key(route.endpoint)}
    }


def describe_exchanges(document: dict[str, Any]) -> None:
    """Add parameters, headers and problems of keys and conditions to a whole document."""
    for operations in document["paths"].values():
        remarks = {method: operation.pop(_REMARKS, {}) for method, operation in operations.items()}
        has_tag = remarks.get("get", {}).get("revised", False)
        for method, operation in operations.items():
            if remarks[method].get("key"):
                _describe_key(operation, required=remarks[method]["key_required"])
            if remarks[method].get("revised"):
                _describe_tag(operation)
            if method == "get" and has_tag:
                _describe_reading(operation)
            if (method in _CHANGING and has_tag) or (method == "post" and remarks[method].get("revised")):
                _describe_changing(operation)


def _describe_key(operation: dict[str, Any], *, required: bool) -> None:
    _parameter(
        operation,
        "Idempotency-Key",
        "Sent again with the same key within a day, a request is not done again, and is answered the same.",
        required=required,
        schema={"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
        example="order-4711",
    )
    said = "`true` when this is the answer to an earlier request with the same key."
    _header(operation, REPLAYED, {"description": said, "schema": {"type": "string", "enum": ["true"]}})
    for error in (MalformedKey, *([KeyRequired] if required else []), InProgress, AnswerNotKept, KeyReused):
        _problem(operation, error)


def _describe_tag(operation: dict[str, Any]) -> None:
    said = "Names the state that this answer shows, for `If-Match` and `If-None-Match`."
    _header(operation, "ETag", {"description": said, **_TAG})


def _describe_reading(operation: dict[str, Any]) -> None:
    _parameter(operation, "If-None-Match", "Answers 304 if one of these ETags is the present one.", **_TAG)
    _describe_changing(operation)
    operation["responses"]["304"] = {"description": "You have it already: nothing of it changed."}


def _describe_changing(operation: dict[str, Any]) -> None:
    said = "Answers 412 unless one of these ETags is the present one, so that nobody's change is overwritten unseen."
    _parameter(operation, "If-Match", said, **_TAG)
    _problem(operation, PreconditionFailed)
    _problem(operation, MalformedCondition)


def _parameter(
    operation: dict[str, Any], name: str, description: str, *, required: bool = False, **how: Any
) -> None:
    parameter = {"name": name, "in": "header", "required": required, "description": description, **how}
    operation.setdefault("parameters", []).append(parameter)


def _header(operation: dict[str, Any], name: str, header: dict[str, Any]) -> None:
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            response.setdefault("headers", {})[name] = header


def _problem(operation: dict[str, Any], error: type[AppError]) -> None:
    response = operation["responses"].setdefault(str(error.status), {})
    sentences = [response.get("description"), f"`{error.code}`: {error.detail}"]
    response["description"] = "\n\n".join(filter(None, sentences))
    response.setdefault("content", {"application/problem+json": {"schema": _PROBLEM}})
