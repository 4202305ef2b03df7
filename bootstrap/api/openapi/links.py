"""Links of the OpenAPI document: from a response with a resource to operations on this resource."""

import re
from typing import Any

_LAST_ID = re.compile(r"(?P<collection>.*)/\{(?P<name>\w+_id)\}(?P<rest>/.*)?")


def add_links(document: dict[str, Any]) -> None:
    """Link every response that has a resource with an id to the operations that take this id."""
    takers = _takers(document)
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if status.startswith("2"):
                    links = _links_from(response, takers)
                    if links:
                        response["links"] = links


def _takers(document: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Map each schema that GET returns to the operations that take its id, with the parameter's name."""
    found: dict[str, dict[str, str]] = {}
    for path, operations in document["paths"].items():
        matched = _LAST_ID.fullmatch(path)
        if not matched:
            continue
        shown = document["paths"].get(f"{matched['collection']}/{{{matched['name']}}}", {}).get("get")
        resource = _schema_of(shown["responses"]["200"]) if shown else None
        if resource is not None:
            ids = found.setdefault(resource, {})
            ids.update({operation["operationId"]: matched["name"] for operation in operations.values()})
    return found


def _links_from(response: dict[str, Any], takers: dict[str, dict[str, str]]) -> dict[str, Any]:
    return {
        operation: {
            "operationId": operation,
            "parameters": {parameter: "$response.body#/id"},
            "description": "The id in this answer is the one that this operation takes.",
        }
        for operation, parameter in takers.get(_schema_of(response) or "", {}).items()
    }


def _schema_of(response: dict[str, Any]) -> str | None:
    """Return the schema name of a response's JSON."""
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    return schema["$ref"].rpartition("/")[2] if "$ref" in schema else None
