"""Other domains find, add and replace users."""

from uuid import uuid4

import pytest

from domains.users.errors import UserNotFound
from domains.users.public import NewPerson, key_of_address, normalised_address
from domains.users.schemas import UserUpdate
from tools.faults.people import some_email


@pytest.fixture
def directory(app, composition):
    return composition.users.lookup()


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


async def test_an_address_is_added_once_and_its_unverified_name_is_told_to_no_other_domain(directory):
    email = some_email()
    first = await directory.find_or_add(NewPerson(uuid4(), email, name="Prize", locale="de"))
    second = await directory.find_or_add(NewPerson(uuid4(), email.upper(), name="Mallory"))
    assert second == first
    assert await directory.find_by_address(email.title()) == first
    assert await directory.find(first.id) == first
    assert (first.name, first.locale, first.email_verified) == (None, None, False)


async def test_nobody_is_found_for_what_is_no_address(directory):
    assert await directory.find_by_address("nobody\x00") is None
    assert await directory.find(uuid4()) is None


async def test_the_person_who_verifies_is_a_new_user_with_the_same_address(directory):
    email, owner_id = some_email(), uuid4()
    stranger = await directory.find_or_add(NewPerson(uuid4(), email, name="Mallory"))
    await directory.replace(stranger.id, by=owner_id, name="Ada", locale="de")
    assert await directory.find(stranger.id) is None
    owner = await directory.find_by_address(email)
    assert (owner.id, owner.name, owner.locale, owner.email_verified) == (owner_id, "Ada", "de", True)
    await directory.purge(owner_id)
    assert await directory.find(owner_id) is None


async def test_commands_about_nobody_do_nothing(directory):
    await directory.replace(uuid4(), by=uuid4(), name="Ada", locale=None)
    await directory.purge(uuid4())


async def test_reading_and_changing_nobody_is_refused(app, composition):
    service = composition.users.service()
    with pytest.raises(UserNotFound):
        await service.read(uuid4())
    with pytest.raises(UserNotFound):
        await service.change(uuid4(), UserUpdate(name="Ada"))
