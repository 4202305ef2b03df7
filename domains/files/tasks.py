"""The jobs of files."""

from datetime import timedelta

from domains.files.public import RESOURCE_TYPE, FileStored
from domains.files.service.cleaning import CleaningService, KeysToErase
from domains.files.service.indexing import IndexingService
from domains.files.service.processing import ProcessingService
from domains.jobs.public import JobAbandoned
from shared.jobs import JobContext, NoPayload, PermanentError, job


@job("files.process", queue="files", max_attempts=5, timeout=900)
async def process(payload: FileStored, context: JobContext) -> None:
    """Make the renditions of a file that was stored."""
    if payload.owner_id is None:
        message = "a file always has an owner"
        raise PermanentError(message)
    service = context.provide("files.processing", ProcessingService)
    await service.process(payload.file_id, payload.owner_id, context)


@job("files.erase", queue="default", max_attempts=10, timeout=300)
async def erase(payload: KeysToErase, context: JobContext) -> None:
    """Delete objects that no file has any more."""
    await context.provide("files.cleaning", CleaningService).erase(payload.keys, context)


@job("files.settle", on=JobAbandoned, queue="default", timeout=60)
async def reconcile(payload: JobAbandoned, context: JobContext) -> None:
    """Let a file be ready whose work was given up."""
    if payload.resource_type == RESOURCE_TYPE and payload.resource_id is not None:
        await context.provide("files.cleaning", CleaningService).reconcile(payload.resource_id)


@job("files.index", every=timedelta(minutes=5), queue="default", timeout=300)
async def index(payload: NoPayload, context: JobContext) -> None:  # noqa: ARG001  # every job is given a payload
    """Make texts searchable that a version before has kept."""
    await context.provide("files.indexing", IndexingService).run(context)


@job("files.prune_erasures", every=timedelta(days=1), queue="default", timeout=300)
async def prune_erasures(payload: NoPayload, context: JobContext) -> None:  # noqa: ARG001  # every job is given a payload
    """Delete records of erasures that are older than any backup."""
    await context.provide("files.cleaning", CleaningService).prune_erasures()


@job("files.sweep", every=timedelta(minutes=5), queue="default", timeout=300)
async def sweep(payload: NoPayload, context: JobContext) -> None:  # noqa: ARG001  # every job is given a payload
    """Remove abandoned uploads and expired trash."""
    await context.provide("files.cleaning", CleaningService).sweep()
