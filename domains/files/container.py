"""What the files domain needs and what it offers."""

from pathlib import Path

from dependency_injector.containers import DeclarativeContainer
from dependency_injector.providers import Dependency, List, Object, ThreadSafeSingleton

from domains.files import tasks
from domains.files.gateway.erasures import ErasureRecords
from domains.files.gateway.sandbox import Sandbox
from domains.files.gateway.sniffing import sniff
from domains.files.gateway.store import ObjectFiles
from domains.files.public import RESOURCE_TYPE, Quotas
from domains.files.repository.files import FileRepository
from domains.files.repository.objects import ObjectRepository
from domains.files.repository.quota import QuotaRepository
from domains.files.repository.totals import TotalsRepository
from domains.files.router import admin_routes, routes
from domains.files.service.cleaning import CleaningService
from domains.files.service.file_service import FileService
from domains.files.service.indexing import IndexingService
from domains.files.service.losses import LossService
from domains.files.service.measuring import FileMeasures
from domains.files.service.processing import ProcessingService
from domains.files.service.quota_limits import QuotaLimits
from domains.files.service.uploads import UploadService
from domains.files.settings import FilesSettings
from domains.jobs.public import Jobs
from shared.clock import Clock
from shared.db.database import Database, TransactionFactory
from shared.identity import AccountLock
from shared.jobs import Outbox


class FilesContainer(DeclarativeContainer):
    """File storage: uploads, renditions, search, quotas and trash."""

    settings = Dependency(instance_of=FilesSettings)
    data_dir = Dependency(instance_of=Path)
    database = Dependency(instance_of=Database)
    transaction: Dependency[TransactionFactory] = Dependency()
    clock = Dependency(instance_of=Clock)
    outbox = Dependency(instance_of=Outbox)
    accounts: Dependency[AccountLock] = Dependency()
    jobs: Dependency[Jobs] = Dependency()
    personal_quotas: Dependency[Quotas] = Dependency()

    files = ThreadSafeSingleton(FileRepository, database)
    quota = ThreadSafeSingleton(QuotaRepository, database)
    objects = ThreadSafeSingleton(ObjectRepository, database)
    store = ThreadSafeSingleton(ObjectFiles, settings, data_dir)
    erasures = ThreadSafeSingleton(ErasureRecords, store, clock=clock)
    renderer = ThreadSafeSingleton(Sandbox, settings)
    quota_limits = ThreadSafeSingleton(QuotaLimits, settings, personal_quotas)
    service = ThreadSafeSingleton(
        FileService,
        settings=settings,
        transaction=transaction,
        files=files,
        quota=quota,
        store=store,
        jobs=jobs,
        quota_limits=quota_limits,
    )
    uploads = ThreadSafeSingleton(
        UploadService,
        settings=settings,
        transaction=transaction,
        files=files,
        quota=quota,
        store=store,
        outbox=outbox,
        sniff=Object(sniff),
        file_service=service,
        accounts=accounts,
        quota_limits=quota_limits,
    )
    processing = ThreadSafeSingleton(
        ProcessingService,
        settings=settings,
        transaction=transaction,
        files=files,
        store=store,
        renderer=renderer,
    )
    indexing = ThreadSafeSingleton(IndexingService, transaction=transaction, files=files, clock=clock)
    cleaning = ThreadSafeSingleton(
        CleaningService,
        settings=settings,
        transaction=transaction,
        files=files,
        quota=quota,
        objects=objects,
        store=store,
        outbox=outbox,
        jobs=jobs,
        clock=clock,
        erasures=erasures,
    )

    losses = ThreadSafeSingleton(
        LossService, transaction=transaction, objects=objects, cleaning=cleaning, outbox=outbox
    )

    measures = ThreadSafeSingleton(FileMeasures, ThreadSafeSingleton(TotalsRepository, database))

    routers = Object([routes.router, admin_routes.router])
    tasks = Object(tasks)
    personal_data = cleaning
    lookup = service
    stoppables = List(renderer)
    resource_urls: Object[dict[str, str]] = Object({RESOURCE_TYPE: "/v1/files/{id}"})
