"""Handlers of the jobs of files."""

from domains.files.job_types import ERASE, INDEX, PROCESS, PRUNE_ERASURES, RECONCILE, SWEEP, KeysToErase
from domains.files.public import RESOURCE_TYPE, FileStored
from domains.files.service.cleaning import CleaningService
from domains.files.service.indexing import IndexingService
from domains.files.service.processing import ProcessingService
from domains.jobs.public import JobAbandoned
from shared.jobs import JobContext, NoPayload

_CLEANING = "files.cleaning"


@PROCESS.handler
async def process(payload: FileStored, context: JobContext) -> None:
    """Make the renditions of a stored file."""
    service = context.provide("files.processing", ProcessingService)
    await service.process(payload.file_id, payload.owner_id, context)


@ERASE.handler
async def erase(payload: KeysToErase, context: JobContext) -> None:
    """Delete objects that no file has any more."""
    await context.provide(_CLEANING, CleaningService).erase(payload.keys, context)


@RECONCILE.handler
async def reconcile(payload: JobAbandoned, context: JobContext) -> None:
    """Set the state of a file whose processing was cancelled or failed."""
    if payload.resource_type == RESOURCE_TYPE and payload.resource_id is not None:
        await context.provide(_CLEANING, CleaningService).reconcile(payload.resource_id)


@INDEX.handler
async def index(_payload: NoPayload, context: JobContext) -> None:
    """Index texts that an older version stored."""
    await context.provide("files.indexing", IndexingService).run(context)


@PRUNE_ERASURES.handler
async def prune_erasures(_payload: NoPayload, context: JobContext) -> None:
    """Delete records of erasures that are older than any backup."""
    await context.provide(_CLEANING, CleaningService).prune_erasures()


@SWEEP.handler
async def sweep(_payload: NoPayload, context: JobContext) -> None:
    """Remove abandoned uploads and expired trash."""
    await context.provide(_CLEANING, CleaningService).sweep()
