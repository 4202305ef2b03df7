"""What a user is and how one is found, without a database."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from domains.users.errors import UserNotFound
from domains.users.public import NewPerson, key_of_address, normalised_address
from domains.users.schemas import UserChange, UserRow
from domains.users.service import Directory, UserService
from domains.users.settings import UsersSettings

NOW = datetime(2026, 7, 1, tzinfo=UTC)


class HeldClock:
    def now(self):
        return NOW


@asynccontextmanager
async def transaction(*, separate=False):
    yield


class Rows:
    def __init__(self):
        self.users = {}

    async def find(self, user_id):
        found = self.users.get(user_id)
        return None if found is None else UserRow.model_validate(found)

    async def find_by_address(self, normalised):
        for user in self.users.values():
            if user.email_normalised == normalised:
                return UserRow.model_validate(user)
        return None

    async def add_unless_known(self, user):
        if await self.find_by_address(user.email_normalised) is None:
            self.users[user.id] = user

    async def lock(self, user_id):
        return self.users.get(user_id)

    async def replace(self, user_id, *, by, name, locale, now):
        user = self.users.pop(user_id, None)
        if user is not None:
            user.id, user.name, user.locale, user.email_verified_at = by, name, locale, now
            self.users[by] = user

    async def delete(self, user_id):
        self.users.pop(user_id, None)


class AccountDirectory:
    async def of_users(self, user_ids):
        return {}


@pytest.fixture
def rows():
    return Rows()


@pytest.fixture
def directory(rows):
    settings = UsersSettings(users_default_locale="en")
    return Directory(rows, transaction=transaction, clock=HeldClock(), settings=settings)


@pytest.fixture
def service(rows):
    return UserService(rows, transaction=transaction, clock=HeldClock(), account_directory=AccountDirectory())


@pytest.mark.parametrize(
    ("given", "normalised"),
    [
        ("Ada@Example.COM", "ada@example.com"),
        ("a.b+tag@example.com", "a.b+tag@example.com"),
        ("ada@BÜCHER.example.com", "ada@xn--bcher-kva.example.com"),
        ("ada@bu\u0308cher.example.com", "ada@xn--bcher-kva.example.com"),
    ],
)
def test_spellings_of_one_mailbox_are_one(given, normalised):
    assert normalised_address(given) == normalised


@pytest.mark.parametrize(
    "text", ["", "ada", "ada@", "a b@example.com", "\u0430da@example.com", "a@localhost", "a\x00@b.com"]
)
def test_what_is_no_address_is_refused_but_can_be_counted(text):
    with pytest.raises(ValueError, match=r"."):
        normalised_address(text)
    assert key_of_address(text.upper()) == key_of_address(text)


async def test_somebody_is_added_once(directory):
    first = await directory.find_or_add(NewPerson(uuid4(), "ada@example.com", name="Ada"))
    second = await directory.find_or_add(NewPerson(uuid4(), "ADA@example.com", name="Mallory"))
    assert second == first
    assert await directory.find_by_address("Ada@Example.com") == first
    assert await directory.find(first.id) == first
    assert (first.locale, first.email_verified) == ("en", False)


async def test_nobody_is_found_for_what_is_no_address(directory):
    assert await directory.find_by_address("nobody\x00") is None
    assert await directory.find(uuid4()) is None


async def test_the_person_who_verifies_is_a_new_user_with_the_same_address(directory):
    stranger = await directory.find_or_add(NewPerson(uuid4(), "ada@example.com", name="Mallory"))
    owner_id = uuid4()
    await directory.replace(stranger.id, by=owner_id, name="Ada", locale="de")
    assert await directory.find(stranger.id) is None
    owner = await directory.find_by_address("ada@example.com")
    assert (owner.id, owner.name, owner.locale, owner.email_verified) == (owner_id, "Ada", "de", True)


async def test_the_name_and_language_of_an_unverified_user_are_told_to_no_other_domain(directory):
    person = await directory.find_or_add(NewPerson(uuid4(), "ada@example.com", name="Prize", locale="de"))
    assert (person.name, person.locale) == (None, "en")


async def test_commands_about_nobody_do_nothing(directory):
    await directory.replace(uuid4(), by=uuid4(), name="Ada", locale=None)
    await directory.purge(uuid4())


async def test_who_is_purged_is_gone(directory):
    person = await directory.find_or_add(NewPerson(uuid4(), "ada@example.com"))
    await directory.purge(person.id)
    assert await directory.find(person.id) is None


async def test_reading_and_changing_nobody_is_refused(service):
    with pytest.raises(UserNotFound):
        await service.read(uuid4())
    with pytest.raises(UserNotFound):
        await service.change(uuid4(), UserChange(name="Ada"))
