"""Schemas of the OpenAPI document: type names for generated clients, and descriptions of common fields."""

import json
import re
from collections.abc import Iterator
from typing import Any

from bootstrap.api.openapi.responses import responses_of
from shared.errors import FieldProblem, Problem

_PREFIX = "#/components/schemas/"
_PAGE = re.compile(r"Page_(\w+?)(?:Body|Read)?_")
_OF_FASTAPI = ("HTTPValidationError", "ValidationError")
_EVENTS = "text/event-stream"
_PAGE_FIELDS = {"data", "next_cursor"}
_KNOWN_FIELDS = {
    "id": "Its id.",
    "created_at": "Time of creation.",
    "updated_at": "Time of the last change.",
    "data": "Items of this page.",
}


def complete_schemas(document: dict[str, Any]) -> None:
    """Name page schemas after their items, describe common fields, remove titles that repeat names."""
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _OF_FASTAPI:
        schemas.pop(name, None)
    for model in (Problem, FieldProblem):
        schema = model.model_json_schema(ref_template=_PREFIX + "{model}")
        schema.pop("$defs", None)
        schemas[model.__name__] = schema
    _name_bodies(document)
    _rename(document, {name: f"{found[1]}Page" for name in schemas if (found := _PAGE.fullmatch(name))})
    for name, schema in document["components"]["schemas"].items():
        schema["title"] = name
        if schema.get("properties", {}).keys() >= _PAGE_FIELDS:
            schema.setdefault("description", "One page of a list.")
        for field, details in schema.get("properties", {}).items():
            details.pop("title", None)
            _say_at_the_field(details)
            if field in _KNOWN_FIELDS:
                details.setdefault("description", _KNOWN_FIELDS[field])
    for stream in _event_streams(document):
        stream["schema"] = {
            "type": "string",
            "description": "Server-sent events (HTML standard, section 9.2).",
        }
        stream.pop("itemSchema", None)


def _name_bodies(document: dict[str, Any]) -> None:
    """Move handwritten request bodies to the components, under their title."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                title = content["schema"].get("title")
                if title:
                    document["components"]["schemas"][title] = content["schema"]
                    content["schema"] = {"$ref": _PREFIX + title}


def _say_at_the_field(details: dict[str, Any]) -> None:
    """Move descriptions and examples of nullable values to the field, where tools show them."""
    for branch in details.get("anyOf", []):
        for word in ("description", "examples"):
            if word in branch:
                details.setdefault(word, branch.pop(word))


def _rename(document: dict[str, Any], names: dict[str, str]) -> None:
    """Rename schemas and update all references to them."""
    schemas: dict[str, Any] = document["components"]["schemas"]
    document["components"]["schemas"] = dict(
        sorted((names.get(old, old), schema) for old, schema in schemas.items())
    )
    text = re.sub(
        r'"#/components/schemas/(\w+)"',
        lambda found: f'"{_PREFIX}{names.get(found[1], found[1])}"',
        json.dumps(document),
    )
    document.clear()
    document.update(json.loads(text))


def _event_streams(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for response in responses_of(document):
        if _EVENTS in response.get("content", {}):
            yield response["content"][_EVENTS]
