"""People for tests: registered and signed in over HTTP, as real ones are."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import UUID

import httpx

PASSWORD = "correct horse battery staple 42"
_numbers = count(1)


@dataclass(frozen=True)
class Person:
    """A signed-in person."""

    id: UUID
    email: str
    password: str
    access_token: str
    refresh_token: str
    session_id: UUID

    @property
    def headers(self) -> dict[str, str]:
        """The header that shows who is calling."""
        return {"Authorization": f"Bearer {self.access_token}"}


def some_email() -> str:
    """Return a unique address."""
    return f"person-{secrets.token_hex(8)}@example.com"


def some_number() -> int:
    """Return a unique number."""
    return next(_numbers)


class People:
    """Makes people through the API."""

    def __init__(self, client: httpx.AsyncClient, composition: Any) -> None:
        self.client = client
        self._composition = composition

    async def register(self, *, email: str | None = None, password: str = PASSWORD) -> Person:
        """Register and sign in."""
        address = email or some_email()
        answer = await self.client.post("/v1/auth/register", json={"email": address, "password": password})
        assert answer.status_code == 202, answer.text
        return await self.sign_in(address, password)

    async def sign_in(self, email: str, password: str = PASSWORD) -> Person:
        """Sign in."""
        form = {"grant_type": "password", "username": email, "password": password}
        answer = await self.client.post("/v1/auth/token", data=form)
        assert answer.status_code == 200, answer.text
        tokens = answer.json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        me = (await self.client.get("/v1/users/me", headers=headers)).json()
        return Person(
            id=UUID(me["id"]),
            email=email,
            password=password,
            access_token=tokens["access_token"],
            refresh_token=tokens["refresh_token"],
            session_id=UUID(tokens["session_id"]),
        )

    async def administrator(self) -> Person:
        """Make an administrator as `tulou create-admin` does, and sign in."""
        address = some_email()
        await self._composition.auth.accounts().create_admin(address, PASSWORD)
        return await self.sign_in(address)

    async def create(self, path: str, body: Mapping[str, Any], person: Person) -> dict[str, Any]:
        """Create a thing over HTTP in somebody's name, and return it."""
        answer = await self.client.post(path, json=body, headers=person.headers)
        assert answer.status_code == 201, answer.text
        return answer.json()
