"""Formats of numbers: without one, generators for typed languages choose 32 bits, and a size in bytes overflows."""

from collections.abc import Iterator
from typing import Any

_INT32 = 2**31 - 1
_VALUES = frozenset({"const", "default", "enum", "example", "examples", "value"})
"""Keywords under which a value stands, which may look like a schema."""


def add_number_formats(document: dict[str, Any]) -> None:
    """Give `int32` to integers whose bounds allow it, `int64` to the others, `double` to numbers (OpenAPI registry)."""
    for schema in _schemas(document):
        if "format" in schema:
            continue
        if schema["type"] == "number":
            schema["format"] = "double"
        else:
            schema["format"] = "int32" if _is_bounded(schema) else "int64"


def _is_bounded(schema: dict[str, Any]) -> bool:
    least = schema.get("minimum", schema.get("exclusiveMinimum"))
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    return least is not None and most is not None and least >= -_INT32 and most <= _INT32


def _schemas(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every schema of a number below a node."""
    if isinstance(node, list):
        for child in node:
            yield from _schemas(child)
    elif isinstance(node, dict):
        if node.get("type") in ("integer", "number"):
            yield node
        for name, child in node.items():
            if name not in _VALUES:
                yield from _schemas(child)
