"""Making of renditions in the sandbox."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from domains.files.errors import WorkCancelled
from domains.files.gateway.sandbox import Sandbox
from domains.files.gateway.store import ObjectFiles
from domains.files.job_types import PROCESS
from domains.files.models import FileStatus, RenditionStatus
from domains.files.public import RESOURCE_TYPE, FileStored
from domains.files.repository.files import FileRepository
from domains.files.schemas.rows import ContentRow
from domains.files.service.indexing import indexed
from domains.files.service.rendition_specs import (
    BATCH_OPERATIONS,
    RenditionSpec,
    measure_operation,
    steps_for,
)
from domains.files.settings import FilesSettings
from shared.db.database import TransactionFactory
from shared.errors import AppError, problem_of
from shared.events import Resource
from shared.jobs import JobContext, JobOptions, Outbox


async def enqueue_processing(outbox: Outbox, file_id: UUID, owner_id: UUID) -> UUID:
    """Enqueue the job that makes the renditions of a file; return the job's id."""
    options = JobOptions(owner_id=owner_id, resource=Resource(type=RESOURCE_TYPE, id=file_id))
    return await outbox.enqueue(PROCESS, FileStored(owner_id=owner_id, file_id=file_id), options)


@dataclass(kw_only=True, eq=False)
class ProcessingService:
    """Makes the renditions of one file at a time. A retry makes only the missing ones."""

    settings: FilesSettings
    transaction: TransactionFactory
    files: FileRepository
    store: ObjectFiles
    sandbox: Sandbox

    async def process(self, file_id: UUID, owner_id: UUID, context: JobContext) -> None:
        """Make all renditions of a file, then mark it ready.

        Raises:
            ImageTooLarge, UnsupportedCodec, BrokenDocument, NoPages, PasswordRequired, ParserLimit: final; the missing
                renditions carry the problem, and the file is ready to be downloaded.
        """
        content = await self._begin(file_id)
        if content is None:
            return  # deleted meanwhile
        try:
            facts = await self._make_all(content, owner_id, context)
            if facts is None:
                await self._give_up(file_id, WorkCancelled())
                return
        except AppError as error:
            # A temporary error leaves the renditions pending, for the next attempt.
            if error.permanent or context.attempt >= context.max_attempts:
                await self._give_up(file_id, error)
            raise
        async with self.transaction():
            await self.files.set_status(file_id, FileStatus.READY, facts)
            await context.finish({"file_id": str(file_id), **facts})

    async def _begin(self, file_id: UUID) -> ContentRow | None:
        async with self.transaction():
            content = await self.files.content_of_any_owner(file_id)
            if content is not None:
                await self.files.set_status(file_id, FileStatus.PROCESSING)
                await self.files.reset_failed_renditions(file_id)
        return content

    async def _give_up(self, file_id: UUID, error: AppError) -> None:
        async with self.transaction():
            await self.files.set_status(file_id, FileStatus.READY)
            await self.files.mark_renditions_failed(file_id, problem_of(error))

    async def _make_all(
        self, content: ContentRow, owner_id: UUID, context: JobContext
    ) -> dict[str, Any] | None:
        """Return the file's facts; None if the job was cancelled."""
        rows = (await self.files.renditions([content.id]))[content.id]
        done = {row.name for row in rows if row.status == RenditionStatus.READY}
        steps = steps_for(content.content_type, without=done)
        await context.progress(0, len(steps) + 1, "reading the file")
        async with self.sandbox.workspace(owner_id) as folder:
            source = folder / "source"
            await self.store.fetch(content.storage_key, content.size, source)
            facts = await self._measure(content, source)
            for number, step in enumerate(steps, start=1):
                if context.cancelled:
                    return None
                names = ", ".join(spec.name for spec in step)
                await context.progress(number, len(steps) + 1, f"making {names}")
                await self._make(step, content, source, owner_id)
        await context.progress(len(steps) + 1, len(steps) + 1, "done")
        return facts

    async def _measure(self, content: ContentRow, source: Path) -> dict[str, Any]:
        """Store the file's facts and return them. They stay even if no rendition can be made."""
        operation = measure_operation(content.content_type)
        facts = await self.sandbox.perform(operation, source=source, **self._bounds(content))
        async with self.transaction():
            await self.files.set_status(content.id, FileStatus.PROCESSING, facts)
        return facts

    async def _make(
        self, step: Sequence[RenditionSpec], content: ContentRow, source: Path, owner_id: UUID
    ) -> None:
        """Make all renditions of a step with one request to the sandbox, and store each."""
        facts, made = await self.sandbox.make(
            step[0].operation, source=source, **_sizes(step), **self._bounds(content)
        )
        for spec, piece, piece_facts in _pieces_of(step, made, facts):
            await self._keep(spec, content.id, owner_id, piece, piece_facts)

    async def _keep(
        self, spec: RenditionSpec, file_id: UUID, owner_id: UUID, made: bytes, facts: dict[str, Any]
    ) -> None:
        key = spec.storage_key(file_id)
        await self.store.put(key, _stream_of(made))
        digest = await asyncio.to_thread(lambda: hashlib.sha256(made).hexdigest())
        pieces = await indexed(made.decode()) if spec.operation == "extract_text" else None
        async with self.transaction():
            file = await self.files.lock(file_id, owner_id)
            kept = await self.files.mark_rendition_ready(file_id, spec.name, len(made), digest, facts)
            if file is not None and kept and pieces is not None:
                # With the name from the locked row: it may have changed meanwhile.
                await self.files.set_text(file_id, owner_id, file.name, pieces)
        if not kept:
            await self.store.delete(key)

    def _bounds(self, content: ContentRow) -> dict[str, str | int]:
        return {
            "content_type": content.content_type,
            "max_pixels": self.settings.files_max_pixels,
            "max_side": self.settings.files_max_side,
            "max_frames": self.settings.files_max_frames,
            "max_characters": self.settings.files_text_max_characters,
            "max_pages": self.settings.files_text_max_pages,
        }


def _sizes(step: Sequence[RenditionSpec]) -> dict[str, Any]:
    """Return the size argument of a request that makes one picture, or several from one decoding."""
    sizes = [spec.size for spec in step]
    return {"sizes": sizes} if step[0].operation in BATCH_OPERATIONS else {"size": sizes[0]}


def _pieces_of(
    step: Sequence[RenditionSpec], made: bytes, facts: dict[str, Any]
) -> Iterator[tuple[RenditionSpec, bytes, dict[str, Any]]]:
    """Split what one request made: concatenated pictures, each with its own facts."""
    note = {"damaged": True} if facts.get("damaged") else {}
    if step[0].operation not in BATCH_OPERATIONS:
        yield step[0], made, {name: fact for name, fact in facts.items() if name != "damaged"} | note
        return
    start = 0
    for spec, picture in zip(step, facts["pictures"], strict=True):
        end = start + picture["bytes"]
        yield spec, made[start:end], {"width": picture["width"], "height": picture["height"], **note}
        start = end


async def _stream_of(content: bytes) -> AsyncIterator[bytes]:
    yield content
