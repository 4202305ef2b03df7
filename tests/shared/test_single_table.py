"""Domains with one table, on two tables of this test: one with owners, one shared by all."""

from datetime import UTC, datetime

import asyncpg
import pytest
from pydantic import BaseModel
from sqlalchemy import Index, MetaData, bindparam, func, or_
from sqlmodel import col

from shared.db.database import Database
from shared.db.models import OwnedTable, RevisedTable
from shared.db.pagination import PageRequest
from shared.db.preconditions import Precondition, PreconditionFailed, under
from shared.db.single_table import CommonRepository, OwnedRepository, TableStatements, conditions
from shared.errors import Conflict, NotFound
from shared.events import Event, Resource
from shared.ids import new_id
from shared.schemas import StoredBody

NOW, LATER = datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 7, 2, tzinfo=UTC)
COLUMNS = """
    id uuid PRIMARY KEY, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, revision integer NOT NULL,
    name text NOT NULL
"""
TABLES = f"""
CREATE SCHEMA single;
CREATE TABLE single.pets ({COLUMNS}, owner_id uuid NOT NULL);
CREATE UNIQUE INDEX uq_pets_name ON single.pets (owner_id, name);
CREATE TABLE single.kinds ({COLUMNS});
GRANT USAGE ON SCHEMA single TO tulou_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA single TO tulou_app;
"""
APART = MetaData()
"""Migrations know nothing of these tables."""


class PetNotFound(NotFound):
    detail = "There is no such thing."


class NameTaken(Conflict):
    detail = "Another one has this name."


class Pet(OwnedTable, table=True):
    metadata = APART
    __tablename__ = "pets"
    __table_args__ = (Index("uq_pets_name", "owner_id", "name", unique=True), {"schema": "single"})

    name: str


class Kind(RevisedTable, table=True):
    metadata = APART
    __tablename__ = "kinds"
    __table_args__ = ({"schema": "single"},)

    name: str


class NamedBody(StoredBody):
    name: str


class Wanted(BaseModel):
    name: str | None = None
    name_from: str | None = None
    name_to: str | None = None
    letter: str | None = None


class PetRepository(OwnedRepository[Pet, NamedBody]):
    statements = TableStatements(
        Pet,
        NamedBody,
        missing=PetNotFound,
        taken={"uq_pets_name": NameTaken},
        sorts=("created_at", "name"),
        filters=conditions(Pet, Wanted) | {"letter": func.left(col(Pet.name), 1) == bindparam("letter")},
    )


class KindRepository(CommonRepository[Kind, NamedBody]):
    statements = TableStatements(Kind, NamedBody, missing=PetNotFound, sorts=("name",), filters={})


@pytest.fixture(scope="module")
async def database(servers, settings):
    owner = await asyncpg.connect(servers.superuser_url)
    await owner.execute(TABLES)
    made = Database(servers.environment["DATABASE_URL"], pool_size=1, timeout=5)
    await made.start()
    yield made
    await made.stop()
    await owner.execute("DROP SCHEMA single CASCADE")
    await owner.close()


@pytest.fixture
def pets(database) -> PetRepository:
    return PetRepository(database)


@pytest.fixture
def kinds(database) -> KindRepository:
    return KindRepository(database)


@pytest.fixture
async def pet(pets) -> Pet:
    return await inserted(pets, Pet(owner_id=new_id(), name="Rex", created_at=NOW, updated_at=NOW))


async def inserted(repository, row):
    async with repository.database.transaction():
        await repository.insert(row)
    return row


async def test_an_owner_finds_what_is_theirs_and_nobody_else_does(pets, pet) -> None:
    other, request = new_id(), PageRequest(sort="name", include_total=True)
    assert await pets.read(pet.id, pet.owner_id) == NamedBody.model_validate(pet)
    page = await pets.page(pet.owner_id, request, Wanted(name="Rex"))
    assert ([found.id for found in page.data], page.total) == ([pet.id], 1)
    assert await pets.find(pet.id, other) is None
    assert (await pets.page(other, request, Wanted())).data == []
    with pytest.raises(PetNotFound):
        await pets.read(pet.id, other)
    async with pets.database.transaction():
        assert await pets.find_locked(pet.id, other) is None
        with pytest.raises(PetNotFound):
            await pets.lock(pet.id, other)


async def test_filters_named_after_columns_compare_them_and_others_are_added(pets, pet) -> None:
    async def found(**wanted: str) -> bool:
        page = await pets.page(pet.owner_id, PageRequest(sort="name"), Wanted(**wanted))
        return [one.id for one in page.data] == [pet.id]

    assert await found(name="Rex", name_from="Re", name_to="Rf", letter="R")
    for wanted in ({"name": "Re"}, {"name_from": "Rf"}, {"name_to": "Re"}, {"letter": "M"}):
        assert not await found(**wanted)


def test_a_row_tells_what_would_change() -> None:
    pet = Pet(owner_id=new_id(), name="Rex")
    assert pet.differences({"name": "Max", "owner_id": pet.owner_id}) == {"name": "Max"}


async def test_what_is_locked_is_changed_or_deleted(pets, pet) -> None:
    async with pets.database.transaction():
        locked = await pets.lock(pet.id, pet.owner_id)
        locked.change({"name": "Max"}, LATER)
        await pets.save(locked)
    found = await pets.read(pet.id, pet.owner_id)
    assert (found.name, found.created_at, found.updated_at, found.revision) == ("Max", NOW, LATER, 2)
    async with pets.database.transaction():
        await pets.delete(await pets.lock(pet.id, pet.owner_id))
    assert await pets.find(pet.id, pet.owner_id) is None


async def test_what_is_locked_is_what_the_client_believes(pets, pet) -> None:
    with (
        under(Precondition(if_match=frozenset({7}), if_none_match=frozenset())),
        pytest.raises(PreconditionFailed),
    ):
        async with pets.database.transaction():
            await pets.lock(pet.id, pet.owner_id)


async def test_a_collision_is_the_domains_own_error_on_insert_and_on_change(pets, pet) -> None:
    with pytest.raises(NameTaken):
        await inserted(pets, Pet(owner_id=pet.owner_id, name="Rex", created_at=NOW, updated_at=NOW))
    second = await inserted(pets, Pet(owner_id=pet.owner_id, name="Max", created_at=NOW, updated_at=NOW))
    with pytest.raises(NameTaken):
        async with pets.database.transaction():
            locked = await pets.lock(second.id, pet.owner_id)
            locked.change({"name": "Rex"}, LATER)
            await pets.save(locked)
    assert (await pets.read(second.id, pet.owner_id)).name == "Max"


async def test_a_purge_leaves_what_belongs_to_others(pets, pet) -> None:
    kept = await inserted(pets, Pet(owner_id=new_id(), name="Rex", created_at=NOW, updated_at=NOW))
    async with pets.database.transaction():
        await pets.purge(pet.owner_id)
    assert await pets.find(pet.id, pet.owner_id) is None
    assert await pets.find(kept.id, kept.owner_id) is not None


class SharingRepository(OwnedRepository[Pet, NamedBody]):
    own = PetRepository.statements
    statements = TableStatements(
        Pet,
        NamedBody,
        missing=PetNotFound,
        sorts=("name",),
        filters={},
        readable=or_(own.of_owner, col(Pet.name) == "Shared") & (col(Pet.name) != "Hidden"),
    )


async def test_what_is_readable_neither_widens_nor_narrows_what_is_purged_or_locked(database) -> None:
    sharing, reader, other = SharingRepository(database), new_id(), new_id()
    made = {
        name: await inserted(sharing, Pet(owner_id=owner, name=name, created_at=NOW, updated_at=NOW))
        for name, owner in (("Mine", reader), ("Hidden", reader), ("Shared", other))
    }
    page = await sharing.page(reader, PageRequest(sort="name"), Wanted())
    assert {"Mine", "Shared"} <= {pet.name for pet in page.data}
    assert await sharing.find(made["Hidden"].id, reader) is None
    async with database.transaction():
        assert await sharing.find_locked(made["Shared"].id, reader) is None
    async with database.transaction():
        await sharing.purge(reader)
    async with database.transaction():
        left = [name for name, pet in made.items() if await sharing.find_locked(pet.id, pet.owner_id)]
    assert left == ["Shared"]


def test_rows_without_an_owner_can_not_be_purged() -> None:
    with pytest.raises(TypeError, match="no owner"):
        _ = KindRepository.statements.purge


def test_a_filter_can_not_be_called_like_a_parameter_of_the_list() -> None:
    own = PetRepository.statements
    with pytest.raises(TypeError, match="underscore"):
        _ = TableStatements(
            Pet, NamedBody, missing=PetNotFound, sorts=("name",), filters={"_owner": own.of_owner}
        ).listing


async def test_what_is_nobodys_is_everybodys(kinds) -> None:
    dog = await inserted(kinds, Kind(name="dog", created_at=NOW, updated_at=NOW))
    assert (await kinds.read(dog.id)).name == "dog"
    assert (await kinds.page(PageRequest(sort="name"), Wanted())).data == [await kinds.find(dog.id)]
    async with kinds.database.transaction():
        await kinds.delete(await kinds.lock(dog.id))
        assert await kinds.find_locked(new_id()) is None
    for ask in (kinds.read, kinds.lock):
        with pytest.raises(PetNotFound):
            async with kinds.database.transaction():
                await ask(dog.id)


def test_nothing_is_compiled_before_it_is_needed() -> None:
    statements = TableStatements(Pet, NamedBody, missing=PetNotFound, sorts=("name",), filters={})
    assert not {"find", "listing", "purge"} & vars(statements).keys()
    assert statements.find is statements.find
    assert "owner_id = $2" in statements.find.sql


def test_an_event_names_what_it_is_about() -> None:
    class PetFound(Event):
        about = "pet"
        pet_id: object

    pet_id = new_id()
    assert PetFound(pet_id=pet_id).resource == Resource(type="pet", id=pet_id)
    assert Event().resource is None


class Note(RevisedTable):
    text: dict[str, object] = {}


@pytest.mark.parametrize(
    ("sent", "revision"),
    [
        ({}, 1),
        ({"text": {"a": 1}}, 1),
        ({"text": {"a": True}}, 2),
        ({"text": {"a": 1.0}}, 2),
        ({"text": {"a": 1, "b": None}}, 2),
    ],
)
def test_only_what_differs_is_a_change(sent, revision):
    note = Note(text={"a": 1}, created_at=NOW, updated_at=NOW)
    note.change(sent, LATER)
    assert (note.revision, note.updated_at) == (revision, NOW if revision == 1 else LATER)
    assert repr(note.text) == repr(sent.get("text", {"a": 1}))
