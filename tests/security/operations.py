"""The operations of the OpenAPI document, so that tests also cover those that are added later."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from bootstrap.api.openapi.document import internal_document_of

_LIST = Path(__file__).with_name("open_to_all.txt")
OPEN_TO_ALL = {
    re.sub(r" +", " ", " ".join(line.split()[:2]))
    for line in _LIST.read_text().splitlines()
    if line and not line.startswith("#")
}


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    details: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_open(self) -> bool:
        return self.name in OPEN_TO_ALL

    @property
    def is_for_admins(self) -> bool:
        return any(scopes for scheme in self.details.get("security", []) for scopes in scheme.values())

    @property
    def is_shared(self) -> bool:
        """Whether it shows what belongs to nobody, to everybody who is signed in."""
        return self.details.get("x-shared", False)

    @cached_property
    def places(self) -> list[str]:
        """The names of the path's parameters."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def body(self) -> dict[str, Any] | None:
        """The example of a JSON body."""
        content = self.details.get("requestBody", {}).get("content", {})
        return content["application/json"]["example"] if "application/json" in content else None

    def example(self, place: str) -> str:
        """The example of a parameter."""
        parameters = {parameter["name"]: parameter for parameter in self.details["parameters"]}
        found = parameters[place]
        return str(found.get("example") or found["schema"]["examples"][0])


def operations_of(app: FastAPI) -> Iterator[Operation]:
    """Yield every operation of an application."""
    document = internal_document_of(app, public_url="http://127.0.0.1:8000")
    for path, methods in document["paths"].items():
        for method, details in methods.items():
            yield Operation(method.upper(), path, details)
