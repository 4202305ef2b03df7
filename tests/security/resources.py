"""A resource of another owner for each kind of id that a path contains.

A resource whose collection has a POST that takes its own example needs no entry here: it is made with that. For others
add a function to `MAKERS`, named after the parameter of the path.
"""

import io
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import uuid4

import httpx
from PIL import Image

from tests.security.operations import Operation
from tools.faults.people import Person

CREATED = 201
REFUSED = 400


class OwnedResources:
    """Makes resources of people."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        operations: list[Operation],
        admin: Person,
        work_off: Callable[[], Awaitable[int]],
    ) -> None:
        self.client = client
        self.admin = admin
        self.work_off = work_off
        self._by_name = {operation.name: operation for operation in operations}

    async def address(self, operation: Operation, owner: Person) -> str:
        """Return an operation's path, filled with resources that were just made for `owner`."""
        return await self._filled(operation.path, operation, owner)

    async def state(self, operation: Operation, address: str, owner: Person) -> Any:
        """Return what the owner sees of the resource that an address leads to: by itself, else in its collection."""
        last = operation.path.rindex("{")
        resource = operation.path[: operation.path.index("}", last) + 1]
        depth = resource.count("/") + 1
        at = "/".join(address.split("/")[:depth])
        if f"GET {resource}" not in self._by_name:
            resource, at = resource.rpartition("/")[0], at.rpartition("/")[0]
        reader = self._by_name.get(f"GET {resource}")
        if reader is None:
            return None
        caller = self.admin if reader.is_for_admins else owner
        answer = await self.client.get(at, headers=caller.headers)
        assert answer.status_code < REFUSED, (at, answer.text)
        return answer.content if "octet" in answer.headers["content-type"] else _lasting(answer)

    async def _filled(self, path: str, operation: Operation, owner: Person) -> str:
        if "{" not in path:
            return path
        before, _, rest = path.partition("{")
        place, _, after = rest.partition("}")
        made = await self._made(before.rstrip("/"), place, operation, owner)
        return await self._filled(f"{before}{made}{after}", operation, owner)

    async def _made(self, collection: str, place: str, operation: Operation, owner: Person) -> str:
        if place in MAKERS:
            return await MAKERS[place](self, owner)
        if not place.endswith("_id"):
            return operation.example(place)
        create = self._by_name.get(f"POST {collection}")
        answer = None
        if create is not None and create.body is not None:
            body = create.body | await self._named_by(create, owner) | _others(create)
            caller = self.admin if create.is_for_admins else owner
            answer = await self.client.post(collection, json=body, headers=caller.headers)
        if answer is None or answer.status_code != CREATED:
            raise AssertionError(
                f"No example of {collection} can be made for {{{place}}} by POST {collection}"
                f"{'' if answer is None else f', which answered {answer.text}'}. "
                f"Add a function for {place!r} to MAKERS in tests/security/resources.py."
            )
        return str(answer.json()["id"])

    async def _named_by(self, create: Operation, owner: Person) -> dict[str, str]:
        """Return the ids of resources that a body names, made for `owner` too."""
        paths: dict[str, str] = create.details.get("x-refers-to", {})
        return {
            field: (await self._filled(path, create, owner)).rpartition("/")[2]
            for field, path in paths.items()
        }


Maker = Callable[[OwnedResources, Person], Awaitable[str]]


async def _file(made: OwnedResources, owner: Person) -> str:
    return str((await _upload(made, owner))["id"])


async def _job(made: OwnedResources, owner: Person) -> str:
    """Return a job that is over: the events of others have no end here, where nobody works."""
    job = str((await _upload(made, owner))["jobs"][0]["id"])
    await made.client.post(f"/v1/jobs/{job}/cancel", headers=owner.headers)
    return job


async def _session(made: OwnedResources, owner: Person) -> str:
    """Return a session besides the one that asks."""
    form = {"grant_type": "password", "username": owner.email, "password": owner.password}
    answer = await made.client.post("/v1/auth/token", data=form)
    return str(answer.json()["session_id"])


async def _user(_made: OwnedResources, owner: Person) -> str:
    return str(owner.id)


async def _email(made: OwnedResources, owner: Person) -> str:
    """Return the mail that greeted the owner, once it is written."""
    await made.work_off()
    query = {"recipient": owner.email}
    answer = await made.client.get("/v1/emails", params=query, headers=made.admin.headers)
    return str(answer.json()["data"][0]["id"])


MAKERS: Mapping[str, Maker] = {
    "email_id": _email,
    "file_id": _file,
    "job_id": _job,
    "session_id": _session,
    "user_id": _user,
}


async def _upload(made: OwnedResources, owner: Person) -> dict[str, Any]:
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(picture, "PNG")
    files = {"file": ("teal.png", picture.getvalue(), "image/png")}
    answer = await made.client.post("/v1/files", files=files, headers=owner.headers)
    assert answer.status_code == CREATED, answer.text
    body: dict[str, Any] = answer.json()
    return body


def _others(create: Operation) -> dict[str, Any]:
    """Return values like those of the example, but new ones, for the fields that must differ each time."""
    names: list[str] = create.details.get("x-unique", [])
    return {name: _another(create.body[name]) for name in names} if create.body else {}


def _another(example: Any) -> Any:
    number = secrets.randbelow(1 << 30)
    if isinstance(example, int):
        return number
    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", example):
        return str(uuid4())
    if re.fullmatch(r"\d{4}-\d\d-\d\d(T.*)?", example):
        return f"{number % 9000 + 1000}{example[4:]}"
    if re.fullmatch(r"[\d.]+", example):
        return f"{number}"
    return f"{number}{example}"


def _lasting(answer: httpx.Response) -> Any:
    """Leave out what changes by being looked at."""
    body = answer.json()
    resources = body.get("data") if isinstance(body, dict) else None
    for resource in resources if isinstance(resources, list) else []:
        resource.pop("last_used_at", None)
    return body
