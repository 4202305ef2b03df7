"""What the files domain depends on and what it exports."""

from dependency_injector import containers, providers

from domains.files import tasks
from domains.files.gateway.erasures import ErasureRecords
from domains.files.gateway.sandbox import Sandbox
from domains.files.gateway.store import ObjectFiles
from domains.files.public import RESOURCE_TYPE, Quotas
from domains.files.repository.files import FileRepository
from domains.files.repository.objects import ObjectRepository
from domains.files.repository.storage import StorageRepository
from domains.files.router import admin_routes, routes
from domains.files.service.cleaning import CleaningService
from domains.files.service.file_service import FileService
from domains.files.service.indexing import IndexingService
from domains.files.service.losses import LossService
from domains.files.service.measuring import FileMeasures
from domains.files.service.processing import ProcessingService
from domains.files.service.quota_limits import QuotaLimits
from domains.files.service.uploads import UploadService
from domains.jobs.public import Jobs


class FilesContainer(containers.DeclarativeContainer):
    """File storage: uploads, renditions, search, quotas and trash."""

    core = providers.DependenciesContainer()
    jobs: providers.Dependency[Jobs] = providers.Dependency()
    quotas: providers.Dependency[Quotas] = providers.Dependency()

    files = providers.ThreadSafeSingleton(FileRepository, core.database)
    storage = providers.ThreadSafeSingleton(StorageRepository, core.database)
    objects = providers.ThreadSafeSingleton(ObjectRepository, core.database)
    store = providers.ThreadSafeSingleton(ObjectFiles, core.settings, core.settings.provided.data_dir)
    erasures = providers.ThreadSafeSingleton(ErasureRecords, store, clock=core.clock)
    sandbox = providers.ThreadSafeSingleton(Sandbox, core.settings)
    quota_limits = providers.ThreadSafeSingleton(QuotaLimits, settings=core.settings, quotas=quotas)
    service = providers.ThreadSafeSingleton(
        FileService,
        settings=core.settings,
        transaction=core.transaction,
        files=files,
        storage=storage,
        store=store,
        jobs=jobs,
        clock=core.clock,
        quota_limits=quota_limits,
    )
    uploads = providers.ThreadSafeSingleton(
        UploadService,
        settings=core.settings,
        transaction=core.transaction,
        files=files,
        storage=storage,
        store=store,
        outbox=core.outbox,
        file_service=service,
        account_lock=core.account_lock,
        quota_limits=quota_limits,
    )
    processing = providers.ThreadSafeSingleton(
        ProcessingService,
        settings=core.settings,
        transaction=core.transaction,
        files=files,
        store=store,
        sandbox=sandbox,
    )
    indexing = providers.ThreadSafeSingleton(
        IndexingService, transaction=core.transaction, files=files, clock=core.clock
    )
    cleaning = providers.ThreadSafeSingleton(
        CleaningService,
        settings=core.settings,
        transaction=core.transaction,
        files=files,
        storage=storage,
        objects=objects,
        store=store,
        outbox=core.outbox,
        jobs=jobs,
        clock=core.clock,
        erasures=erasures,
    )

    losses = providers.ThreadSafeSingleton(
        LossService, transaction=core.transaction, objects=objects, cleaning=cleaning, outbox=core.outbox
    )

    measures = providers.ThreadSafeSingleton(FileMeasures, storage=storage)

    routers = providers.Object([routes.router, admin_routes.router])
    tasks = providers.Object(tasks)
    personal_data = cleaning
    lookup = service
    stoppables = providers.List(sandbox)
    resource_urls: providers.Object[dict[str, str]] = providers.Object({RESOURCE_TYPE: "/v1/files/{id}"})
