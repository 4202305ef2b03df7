"""A domain as a team would add it, small, like the built-in ones: what a create with commit is measured on."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from pydantic import Field as BodyField
from sqlmodel import Field

from shared.clock import Clock
from shared.db.database import Database
from shared.db.models import Table, timestamp
from shared.db.repository import Repository
from shared.http.authentication import Caller
from shared.http.routing import Router, problems
from shared.identity import NotAuthenticated
from shared.ids import new_id
from shared.schemas import RequestBody, ResponseBody, UtcDatetime

SCHEMA = """
CREATE SCHEMA bench;
CREATE TABLE bench.notes (
    id uuid PRIMARY KEY, owner_id uuid NOT NULL, title varchar NOT NULL, body varchar, priority integer NOT NULL,
    created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
);
CREATE INDEX ON bench.notes (owner_id, created_at, id);
GRANT USAGE ON SCHEMA bench TO tulou_app;
GRANT SELECT, INSERT, DELETE ON bench.notes TO tulou_app;
"""


class Note(Table, table=True):
    """Something written down."""

    __tablename__ = "notes"
    __table_args__ = ({"schema": "bench"},)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    owner_id: UUID
    title: str
    body: str | None = None
    priority: int = 0
    created_at: datetime = timestamp()
    updated_at: datetime = timestamp()


class NewNote(RequestBody):
    """A note to keep."""

    title: str = BodyField(min_length=1, max_length=255)
    body: str | None = None
    priority: int = 0


class NoteBody(ResponseBody):
    """A note."""

    id: UUID
    owner_id: UUID
    title: str
    body: str | None
    priority: int
    created_at: UtcDatetime
    updated_at: UtcDatetime


class NoteService:
    """Keeps notes."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.repository = Repository(database)
        self.transaction = database.transaction
        self.clock = clock

    async def add(self, owner_id: UUID, new: NewNote) -> NoteBody:
        """Keep a note."""
        now = self.clock.now()
        async with self.transaction():
            note = await self.repository.insert(
                Note(owner_id=owner_id, **new.model_dump(), created_at=now, updated_at=now)
            )
        return NoteBody.model_validate(note)


def router_of(service: NoteService) -> Router:
    """Return the routes."""
    router = Router(prefix="/v1/notes", tags=["notes"])

    async def access() -> NoteService:
        return service

    @router.post("", summary="Keep a note", status_code=201, responses=problems(NotAuthenticated))
    async def add_note(
        caller: Caller, notes: Annotated[NoteService, Depends(access)], new: NewNote
    ) -> NoteBody:
        """Keep a note."""
        return await notes.add(caller.user_id, new)

    return router
