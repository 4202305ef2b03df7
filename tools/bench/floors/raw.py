"""The floor: FastAPI on a raw asyncpg pool, with statements written by hand and nothing in front.

It verifies the same tokens (claims kept by token), and makes the same reads and the same write as the system.
"""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

import asyncpg
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel

from tools.bench.floors.serving import serve

_KEY = Ed25519PublicKey.from_public_bytes(bytes.fromhex(os.environ.get("BENCH_PUBLIC_KEY", "00" * 32)))
_SESSION = (
    "SELECT s.user_id, s.ended_at, s.absolute_expires_at, a.status, a.role, a.scopes FROM auth.sessions s"
    " JOIN auth.accounts a ON a.user_id = s.user_id WHERE s.id = $1"
)
_USER = (
    "SELECT id, email, email_verified_at, email_verified_at IS NOT NULL AS email_verified, name, locale, created_at,"
    " updated_at FROM users.users WHERE id = $1"
)
_FILES = (
    "SELECT id, name, size, content_type, declared_content_type, sha256, status, client_metadata AS metadata, tags,"
    " facts, created_at, updated_at, deleted_at FROM files.files WHERE owner_id = $1 AND status <> 'uploading'"
    " AND deleted_at IS NULL ORDER BY created_at DESC, id DESC LIMIT $2"
)
_RENDITIONS = (
    "SELECT file_id, name, status, content_type, size, facts, problem FROM files.renditions"
    " WHERE file_id = ANY($1) ORDER BY file_id, name"
)
_JOBS = (
    "SELECT id, kind, state, resource_id FROM jobs.jobs WHERE resource_id = ANY($1) AND finished_at IS NULL"
    " ORDER BY created_at, id"
)
_ADD = (
    "INSERT INTO bench.notes (id, owner_id, title, body, priority, created_at, updated_at)"
    " VALUES ($1, $2, $3, $4, $5, $6, $6)"
)


class UserOut(BaseModel):
    """A user."""

    id: UUID
    email: str
    email_verified: bool
    email_verified_at: datetime | None
    name: str | None
    locale: str | None
    created_at: datetime
    updated_at: datetime


class FileOut(BaseModel):
    """A file."""

    id: UUID
    name: str
    size: int
    content_type: str | None
    declared_content_type: str | None
    sha256: str | None
    status: str
    metadata: dict[str, Any]
    tags: list[str]
    facts: dict[str, Any]
    renditions: list[dict[str, Any]]
    jobs: list[dict[str, Any]]
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class FilesOut(BaseModel):
    """A page of files."""

    data: list[FileOut]
    next_cursor: str | None = None
    total: int | None = None


class NoteIn(BaseModel):
    """A note to keep."""

    title: str
    body: str | None = None
    priority: int = 0


class NoteOut(NoteIn):
    """A note."""

    id: UUID
    owner_id: UUID
    created_at: datetime
    updated_at: datetime


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async def no_reset(_connection: object) -> None: ...

    async def prepare(connection: Any) -> None:
        await connection.set_type_codec("jsonb", encoder=str, decoder=_json, schema="pg_catalog")

    async with asyncpg.create_pool(
        os.environ["DATABASE_URL"], min_size=16, max_size=16, reset=no_reset, init=prepare
    ) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=_lifespan, telemetry={"tracing": False, "metrics": False, "logs": False})
_known: dict[str, dict[str, Any]] = {}


async def _caller(request: Request) -> UUID:
    token = request.headers.get("authorization", "")[7:]
    claims = _known.get(token)
    if claims is None:
        try:
            claims = jwt.decode(token, _KEY, algorithms=["EdDSA"], options={"verify_aud": False})
        except jwt.InvalidTokenError as error:
            raise HTTPException(401) from error
        claims["session"] = UUID(claims["sid"])
        _known[token] = claims
    if claims["exp"] < time.time():
        raise HTTPException(401)
    row = await app.state.pool.fetchrow(_SESSION, claims["session"])
    if (
        row is None
        or row["ended_at"]
        or row["status"] != "active"
        or row["absolute_expires_at"] < datetime.now(UTC)
    ):
        raise HTTPException(401)
    user_id: UUID = row["user_id"]
    return user_id


Caller = Annotated[UUID, Depends(_caller)]


@app.get("/v1/users/me", response_model=UserOut)
async def read_me(caller: Caller) -> Any:
    """Return the caller."""
    return dict(await app.state.pool.fetchrow(_USER, caller))


@app.get("/v1/files", response_model=FilesOut)
async def list_files(caller: Caller, limit: int = 20) -> Any:
    """Return a page of the caller's files."""
    rows = [dict(row) for row in await app.state.pool.fetch(_FILES, caller, limit + 1)]
    shown = {row["id"]: row | {"renditions": [], "jobs": []} for row in rows[:limit]}
    for rendition in await app.state.pool.fetch(_RENDITIONS, list(shown)):
        shown[rendition["file_id"]]["renditions"].append(dict(rendition))
    for job in await app.state.pool.fetch(_JOBS, list(shown)):
        shown[job["resource_id"]]["jobs"].append({**job, "url": f"/v1/jobs/{job['id']}"})
    return {"data": list(shown.values()), "next_cursor": rows[-1]["id"].hex if len(rows) > limit else None}


@app.post("/v1/notes", response_model=NoteOut, status_code=201)
async def add_note(caller: Caller, new: NoteIn) -> Any:
    """Keep a note."""
    note_id, now = uuid4(), datetime.now(UTC)
    await app.state.pool.execute(_ADD, note_id, caller, new.title, new.body, new.priority, now)
    return {"id": note_id, "owner_id": caller, **new.model_dump(), "created_at": now, "updated_at": now}


def _json(text: str) -> Any:
    import json  # noqa: PLC0415  # beside its only use

    return json.loads(text)


if __name__ == "__main__":
    serve(app)
