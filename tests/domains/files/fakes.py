"""Short in-memory doubles of the dependencies of the file services."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

from domains.files.public import PersonalQuota
from domains.files.schemas.rows import ContentRow, PurgedRow, RenditionRow
from domains.files.service.rendition_specs import rendition_specs_for
from shared.clock import Clock
from shared.db.fulltext import Piece
from shared.ids import new_id
from shared.jobs import JobType

NOW = Clock().now()
RENDITION_SPECS = (*rendition_specs_for("image/png"), *rendition_specs_for("application/pdf"))


@asynccontextmanager
async def transaction(*, separate: bool = False, durable: bool = True) -> AsyncIterator[None]:
    yield


class FakeStore:
    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        self.objects[key] = b"".join([chunk async for chunk in chunks])

    async def fetch(self, key: str, size: int, target: Path) -> None:
        target.write_bytes(self.objects[key])  # noqa: ASYNC240  # a fake

    async def delete(self, key: str) -> None:
        self.objects.pop(key, None)


class FakeStorageRepository:
    """Counts bytes as the table does."""

    def __init__(self) -> None:
        self.bytes = self.reserved = self.count = 0
        self.reservations: list[int] = []
        self.blobs: dict[str, str] = {}
        self.uploads: dict[UUID, PurgedRow] = {}
        self.stored: dict[UUID, dict] = {}
        self.broken = False

    async def create_usage(self, owner_id: UUID) -> None:
        if self.broken:
            raise RuntimeError("the database is away")

    async def reserve(self, owner_id: UUID, amount: int, *, files: int, quota: int, max_files: int) -> bool:
        if self.bytes + self.reserved + amount > quota or self.count + files > max_files:
            return False
        self.reservations.append(amount)
        self.reserved += amount
        self.count += files
        return True

    async def extend_reservation(self, file_id: UUID, amount: int) -> bool:
        row = self.uploads.get(file_id)
        if row is None:
            return False
        self.uploads[file_id] = row.model_copy(update={"reserved": row.reserved + amount})
        return True

    async def adjust_usage(
        self, owner_id: UUID, *, added: int = 0, released: int = 0, removed: int = 0
    ) -> None:
        self.bytes += added
        self.reserved -= released
        self.count -= removed

    async def lock_usage(self, owner_id: UUID) -> None:
        """Nobody else is there."""

    async def is_referenced(self, file_id: UUID, key: str) -> bool:
        return file_id in self.stored

    async def mark_stored(self, file_id: UUID, **values: object) -> bool:
        if self.uploads.pop(file_id, None) is None:
            return False
        self.stored[file_id] = values
        return True

    async def add_blob_copy(self, sha256: str, size: int, storage_key: str) -> bool:
        return self.blobs.setdefault(sha256, storage_key) == storage_key

    async def abandon(self, file_id: UUID) -> PurgedRow | None:
        if self.broken:
            raise RuntimeError("the database is away")
        return self.uploads.pop(file_id, None)


class FakeFiles:
    def __init__(self, quota: FakeStorageRepository | None = None) -> None:
        self.quota = quota
        self.contents: dict[UUID, ContentRow] = {}
        self.made: dict[tuple[UUID, str], RenditionRow] = {}
        self.added: list = []
        self.texts: dict[UUID, str] = {}
        self.statuses: list[str] = []
        self.facts: dict = {}

    async def insert(self, file) -> None:
        self.quota.uploads[file.id] = PurgedRow(
            owner_id=file.owner_id, size=0, reserved=file.reserved, sha256=None, upload_key=file.upload_key
        )

    async def insert_all(self, renditions) -> None:
        self.added += renditions

    async def set_text(self, file_id: UUID, owner_id: UUID, name: str, pieces: Sequence[Piece]) -> None:
        self.texts[file_id] = "".join(piece.body for piece in pieces)

    async def content_of_any_owner(self, file_id: UUID) -> ContentRow | None:
        return self.contents.get(file_id)

    async def lock(self, file_id: UUID, owner_id: UUID):
        return self.contents.get(file_id)

    async def reset_failed_renditions(self, file_id: UUID) -> None:
        await self._set(file_id, "failed", status="pending", problem=None)

    async def renditions(self, ids):
        return {file_id: [row for key, row in self.made.items() if key[0] == file_id] for file_id in ids}

    async def mark_rendition_ready(self, file_id: UUID, name: str, size: int, sha256: str, facts) -> bool:
        row = self.made.get((file_id, name))
        if row is None:
            return False
        self.made[file_id, name] = row.model_copy(
            update={"status": "ready", "size": size, "sha256": sha256, "facts": facts}
        )
        return True

    async def mark_renditions_failed(self, file_id: UUID, problem) -> None:
        await self._set(file_id, "pending", status="failed", problem=problem)

    async def set_status(self, file_id: UUID, status: str, facts=None) -> bool:
        self.statuses.append(status)
        self.facts |= facts or {}
        return True

    async def _set(self, file_id: UUID, present: str, **changes) -> None:
        for key, row in self.made.items():
            if key[0] == file_id and row.status == present:
                self.made[key] = row.model_copy(update=changes)


class FakeQuotas:
    """Nobody has a quota of their own."""

    async def quota_of(self, owner_id: UUID) -> PersonalQuota:
        return PersonalQuota(max_bytes=None, max_files=None)


class FakeOutbox:
    def __init__(self) -> None:
        self.events: list = []
        self.jobs: list[tuple[JobType, object]] = []

    async def publish(self, event) -> list[UUID]:
        self.events.append(event)
        return []

    async def enqueue(self, job: JobType, payload, options=None) -> UUID:
        self.jobs.append((job, payload))
        return new_id()

    def job_types(self) -> list[JobType]:
        return [job for job, _ in self.jobs]


class FakeAccounts:
    async def lock_caller(self, principal) -> None:
        """Everybody may act."""


class FakeFileService:
    async def read(self, file_id: UUID, owner_id: UUID, *, job_ids=()):
        return SimpleNamespace(id=file_id)


class FakeRenderer:
    """Makes what it was asked for; raises what it was told to, by operation or by the rendition's name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.on_ask = lambda: None
        self.damaged = False

    @asynccontextmanager
    async def workspace(self, owner_id: UUID) -> AsyncIterator[Path]:
        yield self.folder

    async def perform(self, operation: str, **arguments) -> dict:
        return await self._asked(operation)

    async def make(
        self, operation: str, *, size: int = 0, sizes: list[int] | None = None, **arguments
    ) -> tuple[dict, bytes]:
        requested = {(operation, each) for each in sizes or [size]}
        names = [spec.name for spec in RENDITION_SPECS if (spec.operation, spec.size) in requested]
        told = await self._asked(",".join(names))
        made = [f"made {name}".encode() for name in names]
        if sizes is not None:
            told = {"pictures": [{**told, "bytes": len(each)} for each in made], "damaged": self.damaged}
        return told, b"".join(made)

    async def _asked(self, name: str) -> dict:
        await asyncio.sleep(0)
        self.asked.append(name)
        self.on_ask()
        if name in self.errors:
            raise self.errors[name]
        return {"width": 1, "height": 2}


class FakeContext:
    def __init__(self, *, attempt: int = 1) -> None:
        self.attempt, self.max_attempts, self.cancelled = attempt, 5, False
        self.job_id = new_id()
        self.result: dict | None = None
        self.steps: list[tuple] = []

    async def progress(self, *step) -> None:
        self.steps.append(step)

    async def finish(self, result=None) -> None:
        self.result = result
