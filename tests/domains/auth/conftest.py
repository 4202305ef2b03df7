"""Fixtures for tests of accounts: an inbox, a clock that can be set, and the audit log."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.conftest import some_address
from tests.mails import mails_to
from tools.faults.people import PASSWORD, Person, some_email


@dataclass(frozen=True)
class Mail:
    subject: str
    text: str
    html: str

    @property
    def link(self) -> str:
        return next(iter(re.findall(r"https?://\S+", self.text)))

    @property
    def token(self) -> str:
        return parse_qs(urlsplit(self.link).query)["token"][0]


@dataclass(frozen=True)
class Inbox:
    """The mails that arrived for an address, oldest first, after all due jobs have run."""

    folder: Path
    work_off: Callable[[], Awaitable[int]]

    async def of(self, address: str) -> list[Mail]:
        await self.work_off()
        return [_mail(message) for message in await asyncio.to_thread(mails_to, self.folder, address)]

    async def last(self, address: str, subject: str = "") -> Mail:
        """Return the last mail with this in its subject; jobs of different kinds may overtake each other."""
        return [mail for mail in await self.of(address) if subject in mail.subject][-1]


def _mail(message: EmailMessage) -> Mail:
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    return Mail(message["Subject"], text.get_content(), html.get_content())


@pytest.fixture
def inbox(servers, work_off) -> Inbox:
    return Inbox(servers.mails, work_off)


@pytest.fixture
async def verified(client, people, inbox) -> Person:
    """A person who has registered, verified the address and signed in."""
    email = some_email()
    await client.post("/v1/auth/register", json={"email": email, "password": PASSWORD})
    token = (await inbox.last(email)).token
    assert (await client.post("/v1/auth/email/verify", json={"token": token})).status_code == 204
    return await people.sign_in(email)


@pytest.fixture
def later(composition, monkeypatch) -> Callable[..., None]:
    """Move the clock of the program: `later(minutes=20)`."""
    clock = composition.clock()
    told = clock.now
    moved = timedelta()

    def move(**duration: float) -> None:
        nonlocal moved
        moved += timedelta(**duration)
        monkeypatch.setattr(clock, "now", lambda: told() + moved)

    return move


@pytest.fixture
def sign_in(client) -> Callable[..., Awaitable[Any]]:
    """Ask for tokens by password; return the answer, whatever it is."""

    async def ask(username: str, password: str, *, address: str | None = None, agent: str = "tests") -> Any:
        headers = {"User-Agent": agent} | ({"X-Forwarded-For": address} if address else {})
        form = {"grant_type": "password", "username": username, "password": password}
        return await client.post("/v1/auth/token", data=form, headers=headers)

    return ask


@pytest.fixture
def refresh(client) -> Callable[[str], Awaitable[Any]]:
    """Ask for tokens by refresh token; return the answer, whatever it is."""

    async def ask(token: str) -> Any:
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return await client.post("/v1/auth/token", data=form)

    return ask


@pytest.fixture
def address() -> str:
    return some_address()
