"""Parameters of the OpenAPI document: default descriptions for self-explanatory ones."""

import re
from typing import Any

_ID = re.compile(r"(\w+)_id")


def describe_parameters(document: dict[str, Any]) -> None:
    """Describe ids in paths, and leave out titles, which only repeat names."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                parameter["schema"] = _without_null(parameter["schema"])
                parameter["schema"].pop("title", None)
                found = _ID.fullmatch(parameter["name"])
                if parameter["in"] == "path" and found:
                    parameter.setdefault("description", f"The {found[1].replace('_', ' ')}'s id.")
                elif "description" in parameter["schema"]:
                    parameter.setdefault("description", parameter["schema"].pop("description"))


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a parameter's schema without null: an omitted parameter is absent, and null can't be sent."""
    branches = [branch for branch in schema.get("anyOf", []) if branch.get("type") != "null"]
    if len(branches) != 1:
        return schema
    return {**{name: said for name, said in schema.items() if name != "anyOf"}, **branches[0]}
