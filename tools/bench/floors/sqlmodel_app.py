"""What most starters are: FastAPI with an SQLModel `AsyncSession` for each request. The same token, reads and write."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import jwt
from fastapi import Depends, FastAPI, HTTPException, Request
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domains.auth.models import Account, AccountStatus, Session
from domains.files.models import File, FileStatus, Rendition
from domains.users.models import User
from tools.bench.floors.raw import _KEY, FilesOut, NoteIn, NoteOut, UserOut
from tools.bench.floors.serving import serve
from tools.bench.notes import Note

_URL = os.environ.get("DATABASE_URL", "postgresql://").replace("postgresql:", "postgresql+asyncpg:", 1)
_engine = create_async_engine(_URL, pool_size=16, max_overflow=0)
app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})
_known: dict[str, dict[str, Any]] = {}


async def _session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(_engine, expire_on_commit=False) as session:
        yield session


Db = Annotated[AsyncSession, Depends(_session)]


async def _caller(request: Request, db: Db) -> UUID:
    token = request.headers.get("authorization", "")[7:]
    claims = _known.get(token)
    if claims is None:
        claims = jwt.decode(token, _KEY, algorithms=["EdDSA"], options={"verify_aud": False})
        _known[token] = claims
    statement = (
        select(Session, Account)
        .join(Account, col(Account.user_id) == col(Session.user_id))
        .where(col(Session.id) == UUID(claims["sid"]))
    )
    found = (await db.exec(statement)).first()
    if found is None or found[0].ended_at or found[1].status is not AccountStatus.ACTIVE:
        raise HTTPException(401)
    return found[0].user_id


Caller = Annotated[UUID, Depends(_caller)]


@app.get("/v1/users/me", response_model=UserOut)
async def read_me(caller: Caller, db: Db) -> Any:
    """Return the caller."""
    user = await db.get(User, caller)
    if user is None:
        raise HTTPException(404)
    return user.model_dump() | {"email_verified": user.email_verified_at is not None}


@app.get("/v1/files", response_model=FilesOut)
async def list_files(caller: Caller, db: Db, limit: int = 20) -> Any:
    """Return a page of the caller's files."""
    statement = (
        select(File)
        .where(
            col(File.owner_id) == caller,
            col(File.status) != FileStatus.UPLOADING,
            col(File.deleted_at).is_(None),
        )
        .order_by(col(File.created_at).desc(), col(File.id).desc())
        .limit(limit)
    )
    files = (await db.exec(statement)).all()
    made: dict[UUID, list[Any]] = {file.id: [] for file in files}
    for rendition in await db.exec(select(Rendition).where(col(Rendition.file_id).in_(made))):
        made[rendition.file_id].append(rendition.model_dump())
    return {
        "data": [
            file.model_dump() | {"metadata": file.client_metadata, "renditions": made[file.id], "jobs": []}
            for file in files
        ]
    }


@app.post("/v1/notes", response_model=NoteOut, status_code=201)
async def add_note(caller: Caller, db: Db, new: NoteIn) -> Any:
    """Keep a note."""
    now = datetime.now(UTC)
    note = Note(owner_id=caller, **new.model_dump(), created_at=now, updated_at=now)
    db.add(note)
    await db.commit()
    return note.model_dump()


if __name__ == "__main__":
    serve(app)
