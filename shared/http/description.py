"""Descriptions of keys, conditions and errors in the OpenAPI document, written once for all operations."""

import inspect
from copy import deepcopy
from typing import Any

from fastapi.routing import APIRoute

from shared.db.pagination import BadCursor, Page
from shared.db.preconditions import PreconditionFailed, WeakCondition
from shared.errors import AppError
from shared.http.conditional import MalformedCondition
from shared.http.idempotency import REPLAYED, needs_key, takes_key
from shared.http.response_headers import sends
from shared.idempotency import InProgress, KeyRequired, KeyReused, MalformedKey, StoredResponseTooLarge
from shared.schemas import RevisedBody

ERRORS = "x-errors"
"""Codes of the errors behind a status, until the document is complete."""

RESPONDS_400 = "x-responds-400"
"""Extension that marks operations whose standard requires 400 instead of 422. Removed from the final document."""

_METADATA = "x-operation-metadata"
_CHANGING = frozenset({"patch", "put", "delete"})
_TAG: dict[str, Any] = {"schema": {"type": "string"}, "example": '"3-9f86d081884c7d65"'}


def add_problem(operation: dict[str, Any], *errors: type[AppError]) -> None:
    """Add errors to the responses of an operation."""
    for error in errors:
        response = operation["responses"].setdefault(str(error.status), {"description": ""})
        codes = response.setdefault(ERRORS, [])
        if error.code not in codes:
            codes.append(error.code)


def operation_metadata(route: APIRoute) -> dict[str, Any]:
    """Return the extension of an operation that `describe_operations` reads."""
    model = route.response_model if inspect.isclass(route.response_model) else object
    return {
        _METADATA: {
            "revised": issubclass(model, RevisedBody),
            "paged": issubclass(model, Page),
            "key": takes_key(route),
            "key_required": needs_key(route.endpoint),
        }
    }


def describe_operations(document: dict[str, Any]) -> None:
    """Add parameters, headers and problems of idempotency keys, preconditions and pages to a document."""
    for path, operations in document["paths"].items():
        remarks = {method: operation.pop(_METADATA, {}) for method, operation in operations.items()}
        has_tag = remarks.get("get", {}).get("revised", False)
        for method, operation in operations.items():
            if remarks[method].get("paged"):
                _header(operation, "Link")
                add_problem(operation, BadCursor)
            if remarks[method].get("key"):
                _describe_key(operation, required=remarks[method]["key_required"])
            if remarks[method].get("revised"):
                _header(operation, "ETag")
            if method == "get" and has_tag:
                _describe_reading(operation)
            of_one = method == "post" and "{" in path and remarks[method].get("revised")
            if (method in _CHANGING and has_tag) or of_one:
                _describe_changing(operation)


def _describe_key(operation: dict[str, Any], *, required: bool) -> None:
    _parameter(
        operation,
        "Idempotency-Key",
        "A request that is sent again with the same key within a day does not run again and gets the same response.",
        required=required,
        schema={"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
        example="order-4711",
    )
    _header(operation, REPLAYED)
    required_errors = [KeyRequired] if required else []
    add_problem(operation, MalformedKey, *required_errors, InProgress, StoredResponseTooLarge, KeyReused)


def _describe_reading(operation: dict[str, Any]) -> None:
    _parameter(operation, "If-None-Match", "Returns 304 if one of these ETags is current.", **_TAG)
    _describe_changing(operation)
    operation["responses"]["304"] = {
        "description": "Not modified: you already have the current representation.",
        "headers": sends("ETag"),
    }


def _describe_changing(operation: dict[str, Any]) -> None:
    said = "Returns 412 unless one of these ETags is current, so that concurrent changes are not overwritten."
    _parameter(operation, "If-Match", said, **_TAG)
    add_problem(operation, PreconditionFailed, WeakCondition, MalformedCondition)


def _parameter(
    operation: dict[str, Any], name: str, description: str, *, required: bool = False, **how: Any
) -> None:
    parameter = {
        "name": name,
        "in": "header",
        "required": required,
        "description": description,
        **deepcopy(how),
    }
    operation.setdefault("parameters", []).append(parameter)


def _header(operation: dict[str, Any], name: str) -> None:
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            response.setdefault("headers", {}).update(sends(name))
