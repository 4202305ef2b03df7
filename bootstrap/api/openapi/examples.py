"""Examples of bodies and parameters, assembled from the examples of their fields."""

from typing import Any

Schemas = dict[str, Any]

_BY_FORMAT = {
    "uuid": "0199c3f0-7a6e-7bd4-8f2e-3d1c5a9b7e42",
    "date-time": "2026-03-14T09:26:53Z",
    "email": "ada@example.com",
    "password": "correct horse battery staple",
}
_BY_TYPE: dict[str, Any] = {"boolean": False, "integer": 1, "number": 1.0, "null": None, "object": {}}
_COMPOSED = ("application/json", "application/x-www-form-urlencoded")


def add_examples(document: dict[str, Any]) -> None:
    """Add an example to every field, parameter and body without one, where one can be derived."""
    schemas: Schemas = document["components"]["schemas"]
    for schema in schemas.values():
        for field in schema.get("properties", {}).values():
            if "examples" not in field and is_telling(field, schemas):
                field["examples"] = [example_of(field, schemas)]
    for operations in document["paths"].values():
        for operation in operations.values():
            _complete(operation, schemas)


def _complete(operation: dict[str, Any], schemas: Schemas) -> None:
    for parameter in operation.get("parameters", []):
        if parameter.get("required"):
            if "example" not in parameter and is_telling(parameter["schema"], schemas):
                parameter["example"] = example_of(parameter["schema"], schemas)
        else:
            _show_without_filling_in(parameter, schemas)
    bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
    for body in bodies:
        for media_type, content in body.get("content", {}).items():
            if media_type in _COMPOSED and not {"example", "examples"} & content.keys():
                content["example"] = example_of(content["schema"], schemas)


def _show_without_filling_in(parameter: dict[str, Any], schemas: Schemas) -> None:
    """Put the example of an optional parameter into its schema and description.

    Swagger UI sends a parameter's `example` by default, so an invented precondition, cursor or key would break a first
    try.
    """
    schema = parameter["schema"]
    example = parameter.pop("example", None)
    if example is not None:
        schema["examples"] = [example]
    elif "examples" not in schema and schema.get("format") in _BY_FORMAT:
        schema["examples"] = [example_of(schema, schemas)]
    if schema.get("examples") and not {"enum", "default"} & schema.keys() and schema.get("type") != "boolean":
        shown = " or ".join(f"`{example}`" for example in schema["examples"])
        parameter["description"] = f"{parameter['description']} For example {shown}."


def is_telling(schema: dict[str, Any], schemas: Schemas) -> bool:
    """Whether a schema has enough information for a meaningful example."""
    if {"examples", "example", "enum", "const"} & schema.keys() or schema.get("default") is not None:
        return True
    if "$ref" in schema:
        target = _resolved(schema, schemas)
        return "properties" in target or is_telling(target, schemas)
    if schema.get("type") == "array":
        return is_telling(schema["items"], schemas)
    for branch in _branches(schema):
        return is_telling(branch, schemas)
    return schema.get("format") in _BY_FORMAT or schema.get("type") in {"boolean", "integer", "number"}


def example_of(schema: dict[str, Any], schemas: Schemas) -> Any:
    """Return a value that the schema allows: an example where one is given, else one put together from its parts."""
    if "$ref" in schema and "examples" not in schema:
        return example_of(_resolved(schema, schemas), schemas)
    for name in ("examples", "enum"):
        if schema.get(name):
            return schema[name][0]
    for name in ("example", "const", "default"):
        if schema.get(name) is not None:
            return schema[name]
    return _composed(schema, schemas)


def _composed(schema: dict[str, Any], schemas: Schemas) -> Any:
    for branch in _branches(schema):
        return example_of(branch, schemas)
    if "properties" in schema:
        return {name: example_of(field, schemas) for name, field in schema["properties"].items()}
    if schema.get("type") == "array":
        return [example_of(schema["items"], schemas)]
    by_type = schema.get("minimum", _BY_TYPE.get(schema.get("type", ""), "text"))
    return _BY_FORMAT.get(schema.get("format", ""), by_type)


def _resolved(schema: dict[str, Any], schemas: Schemas) -> dict[str, Any]:
    found: dict[str, Any] = schemas[schema["$ref"].rpartition("/")[2]]
    return found


def _branches(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the alternatives other than null."""
    either = schema.get("anyOf", schema.get("oneOf", []))
    return [branch for branch in either if branch.get("type") != "null"]
