"""What the jobs domain needs and what it offers."""

from dependency_injector.containers import DeclarativeContainer
from dependency_injector.providers import Dependency, List, Object, ThreadSafeSingleton

from domains.jobs import router, tasks
from domains.jobs.gateway.wake_ups import RedisWakeUps
from domains.jobs.repository.durations import DurationRepository
from domains.jobs.repository.jobs import JobRepository
from domains.jobs.repository.leases import LeaseRepository
from domains.jobs.repository.operations import OperationsRepository
from domains.jobs.repository.recovery import RecoveryRepository
from domains.jobs.repository.relay import RelayRepository
from domains.jobs.repository.worker_registry import WorkerRegistry
from domains.jobs.service.abandoning import JobCanceller
from domains.jobs.service.jobs import JobService
from domains.jobs.service.operations import OperationsService
from domains.jobs.service.recovery import JobRecovery
from domains.jobs.service.relay import Relay
from domains.jobs.service.runner import JobRunner
from domains.jobs.service.running import Provide
from domains.jobs.service.store import RowJobStore
from domains.jobs.service.watcher import JobWatcher
from domains.jobs.settings import JobsSettings
from shared.audit import AuditLog
from shared.clock import Clock
from shared.db.database import Database, TransactionFactory
from shared.jobs import JobRegistry, Outbox


class JobsContainer(DeclarativeContainer):
    """Background jobs: rows with leases, retries and schedules."""

    settings = Dependency(instance_of=JobsSettings)
    database = Dependency(instance_of=Database)
    transaction: Dependency[TransactionFactory] = Dependency()
    clock = Dependency(instance_of=Clock)
    registry = Dependency(instance_of=JobRegistry)
    redis_url = Dependency(instance_of=str)
    urls = Dependency(instance_of=dict)
    provide: Dependency[Provide] = Dependency()
    worker_id = Dependency(instance_of=str)
    audit: Dependency[AuditLog] = Dependency()

    rows = ThreadSafeSingleton(JobRepository, database)
    leases = ThreadSafeSingleton(LeaseRepository, database)
    relay_rows = ThreadSafeSingleton(RelayRepository, database)
    worker_registry = ThreadSafeSingleton(WorkerRegistry, database)
    wake_ups = ThreadSafeSingleton(RedisWakeUps, redis_url, window=settings.provided.jobs_hint_window)
    store = ThreadSafeSingleton(RowJobStore, rows=rows, wake_ups=wake_ups, settings=settings)
    outbox = ThreadSafeSingleton(Outbox, registry, store)
    canceller = ThreadSafeSingleton(JobCanceller, jobs=rows, outbox=outbox, transaction=transaction)
    service = ThreadSafeSingleton(
        JobService,
        jobs=rows,
        transaction=transaction,
        wake_ups=wake_ups,
        canceller=canceller,
        settings=settings,
        resource_urls=urls,
    )
    operations = ThreadSafeSingleton(
        OperationsService,
        rows=ThreadSafeSingleton(OperationsRepository, database),
        jobs=rows,
        wake_ups=wake_ups,
        registry=registry,
        outbox=outbox,
        canceller=canceller,
        transaction=transaction,
        settings=settings,
        audit=audit,
    )
    durations = ThreadSafeSingleton(DurationRepository, database)
    watcher = ThreadSafeSingleton(JobWatcher, jobs=rows)
    relay = ThreadSafeSingleton(
        Relay,
        rows=relay_rows,
        registry=registry,
        outbox=outbox,
        wake_ups=wake_ups,
        transaction=transaction,
        settings=settings,
        clock=clock,
    )
    runner = ThreadSafeSingleton(
        JobRunner,
        leases=leases,
        registry=registry,
        transaction=transaction,
        outbox=outbox,
        settings=settings,
        clock=clock,
        provide=provide,
        worker_id=worker_id,
    )

    recovery = ThreadSafeSingleton(
        JobRecovery, ThreadSafeSingleton(RecoveryRepository, database), transaction=transaction
    )

    stoppables = List(watcher, wake_ups)
    routers = Object([router.router])
    tasks = Object(tasks)
    personal_data = service
    resource_urls: Object[dict[str, str]] = Object({})
