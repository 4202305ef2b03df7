"""Making the renditions of a file, one by one, in the confined process."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

from domains.files.errors import WorkCancelled
from domains.files.models import FileStatus, RenditionStatus
from domains.files.repository.files import FileRepository
from domains.files.schemas import ContentRow
from domains.files.service.ports import Renderer, Store
from domains.files.service.recipes import Recipe, measure_of, recipes_for
from domains.files.settings import FilesSettings
from shared.database import TransactionFactory
from shared.errors import AppError, problem_of
from shared.jobs import JobContext


class ProcessingService:
    """Works on one file at a time. Run again it only makes what is missing."""

    def __init__(
        self,
        *,
        settings: FilesSettings,
        transaction: TransactionFactory,
        files: FileRepository,
        store: Store,
        renderer: Renderer,
    ) -> None:
        self.settings = settings
        self.transaction = transaction
        self.files = files
        self.store = store
        self.renderer = renderer

    async def process(self, file_id: UUID, owner_id: UUID, context: JobContext) -> None:
        """Make every rendition of a file and, at the end, mark it ready.

        Raises:
            ImageTooLarge, BrokenDocument, PasswordRequired, ParserLimit: final; the renditions that are missing carry
                the problem, and the file itself stays ready to be downloaded.
        """
        content = await self._begin(file_id)
        if content is None:
            return  # purged meanwhile
        try:
            facts = await self._make_all(content, owner_id, context)
            if facts is None:
                await self._give_up(file_id, WorkCancelled())
                return
        except AppError as error:
            if error.permanent or context.attempt >= context.max_attempts:
                await self._give_up(file_id, error)
            raise
        async with self.transaction():
            await self.files.set_status(file_id, FileStatus.READY, facts)
            await context.finish({"file_id": str(file_id), **facts})

    async def _begin(self, file_id: UUID) -> ContentRow | None:
        async with self.transaction():
            content = await self.files.content(file_id)
            if content is not None:
                await self.files.set_status(file_id, FileStatus.PROCESSING)
                await self.files.begin_renditions(file_id)
        return content

    async def _give_up(self, file_id: UUID, error: AppError) -> None:
        async with self.transaction():
            await self.files.set_status(file_id, FileStatus.READY)
            await self.files.renditions_failed(file_id, problem_of(error))

    async def _make_all(
        self, content: ContentRow, owner_id: UUID, context: JobContext
    ) -> dict[str, Any] | None:
        """Return the file's facts; None when somebody asked to stop."""
        recipes = recipes_for(content.content_type)
        rows = (await self.files.renditions([content.id]))[content.id]
        done = {row.name for row in rows if row.status == RenditionStatus.READY}
        await context.progress(0, len(recipes) + 1, "reading the file")
        async with self.renderer.workspace() as folder:
            source = folder / "source"
            await self.store.fetch(content.storage_key, content.size, source)
            facts = await self.renderer.perform(
                measure_of(content.content_type), source=source, **self._bounds(content)
            )
            for number, recipe in enumerate(recipes, start=1):
                if context.cancelled:
                    return None
                await context.progress(number, len(recipes) + 1, f"making {recipe.name}")
                if recipe.name not in done:
                    await self._make(recipe, content, source, owner_id)
        await context.progress(len(recipes) + 1, len(recipes) + 1, "done")
        return facts

    async def _make(self, recipe: Recipe, content: ContentRow, source: Path, owner_id: UUID) -> None:
        facts, made = await self.renderer.make(
            recipe.operation, source=source, size=recipe.size, **self._bounds(content)
        )
        key = recipe.storage_key(content.id)
        await self.store.put(key, _pieces(made))
        digest = await asyncio.to_thread(lambda: hashlib.sha256(made).hexdigest())
        async with self.transaction():
            file = await self.files.lock(content.id, owner_id)
            kept = await self.files.rendition_made(content.id, recipe.name, len(made), digest, facts)
            if file is not None and kept and recipe.operation == "extract_text":
                # With the present name: it may have changed meanwhile.
                await self.files.set_text(content.id, owner_id, file.name, made.decode())
        if not kept:
            await self.store.delete(key)

    def _bounds(self, content: ContentRow) -> dict[str, str | int]:
        return {
            "content_type": content.content_type,
            "max_pixels": self.settings.files_max_pixels,
            "max_characters": self.settings.files_text_max_characters,
        }


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content
