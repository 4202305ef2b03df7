"""Links of the OpenAPI document: what can be done next with the thing that an answer shows."""

import re
from typing import Any

_LAST_ID = re.compile(r"(?P<collection>.*)/\{(?P<name>\w+_id)\}(?P<rest>/.*)?")


def add_links(document: dict[str, Any]) -> None:
    """Lead from every answer that shows a thing with an id, or a page of them, to what is done with that id."""
    takers = _takers(document)
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if status.startswith("2"):
                    links = _links_from(response, takers, document["components"]["schemas"])
                    if links:
                        response["links"] = links


def _takers(document: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return, by the name of what GET shows of a thing, the operations that take its id, and the parameter's name."""
    found: dict[str, dict[str, str]] = {}
    for path, operations in document["paths"].items():
        matched = _LAST_ID.fullmatch(path)
        if not matched:
            continue
        thing = _thing_at(document, matched["collection"], f"{matched['collection']}/{{{matched['name']}}}")
        if thing is not None:
            ids = found.setdefault(thing, {})
            ids.update({operation["operationId"]: matched["name"] for operation in operations.values()})
    return found


def _thing_at(document: dict[str, Any], collection: str, path: str) -> str | None:
    """Return the name of what GET shows at a thing's own path, else of what the pages of its collection show."""
    for place in (path, collection):
        shown = document["paths"].get(place, {}).get("get")
        name = _schema_of(shown["responses"]["200"]) if shown else None
        if name is not None:
            return _on_page(name, document["components"]["schemas"]) or name
    return None


def _links_from(
    response: dict[str, Any], takers: dict[str, dict[str, str]], schemas: dict[str, Any]
) -> dict[str, Any]:
    name = _schema_of(response) or ""
    place = "$response.body#/id"
    on_page = _on_page(name, schemas)
    if on_page:
        name, place = on_page, "$response.body#/data/0/id"
    return {
        operation: {
            "operationId": operation,
            "parameters": {parameter: place},
            "description": "The id in this answer is the one that this operation takes.",
        }
        for operation, parameter in takers.get(name, {}).items()
    }


def _on_page(name: str, schemas: dict[str, Any]) -> str | None:
    """Return the name of what a page shows; None: it is no page."""
    fields = schemas.get(name, {}).get("properties", {})
    if not {"data", "next_cursor"} <= fields.keys():
        return None
    found: str = fields["data"]["items"].get("$ref", "").rpartition("/")[2]
    return found


def _schema_of(response: dict[str, Any]) -> str | None:
    """Return the name of what a response shows as JSON."""
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    return schema["$ref"].rpartition("/")[2] if "$ref" in schema else None
