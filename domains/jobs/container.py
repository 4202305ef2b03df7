"""What the jobs domain depends on and what it exports."""

from dependency_injector import containers, providers

from domains.jobs import router, tasks
from domains.jobs.gateway.wake_ups import RedisWakeUps
from domains.jobs.repository.durations import DurationRepository
from domains.jobs.repository.jobs import JobRepository
from domains.jobs.repository.leases import LeaseRepository
from domains.jobs.repository.operations import OperationsRepository
from domains.jobs.repository.recovery import RecoveryRepository
from domains.jobs.repository.relay import RelayRepository
from domains.jobs.repository.worker_registry import WorkerRegistry
from domains.jobs.service.cancelling import JobCanceller
from domains.jobs.service.jobs import JobService
from domains.jobs.service.measuring import JobMeasures
from domains.jobs.service.operations import OperationsService
from domains.jobs.service.recovery import JobRecovery
from domains.jobs.service.relay import Relay
from domains.jobs.service.runner import JobRunner
from domains.jobs.service.running import Provide
from domains.jobs.service.store import RowJobStore
from domains.jobs.service.watcher import JobWatcher
from shared.jobs import JobRegistry, Outbox


class JobsContainer(containers.DeclarativeContainer):
    """Background jobs: rows with leases, retries and schedules."""

    core = providers.DependenciesContainer()
    registry = providers.Dependency(instance_of=JobRegistry)
    urls = providers.Dependency(instance_of=dict)
    provide: providers.Dependency[Provide] = providers.Dependency()
    worker_id = providers.Dependency(instance_of=str)

    rows = providers.ThreadSafeSingleton(JobRepository, core.database)
    leases = providers.ThreadSafeSingleton(LeaseRepository, core.database)
    relay_rows = providers.ThreadSafeSingleton(RelayRepository, core.database)
    worker_registry = providers.ThreadSafeSingleton(WorkerRegistry, core.database)
    wake_ups = providers.ThreadSafeSingleton(
        RedisWakeUps,
        core.settings.provided.redis_url.get_secret_value.call(),
        window=core.settings.provided.jobs_hint_window,
    )
    store = providers.ThreadSafeSingleton(RowJobStore, rows=rows, wake_ups=wake_ups, settings=core.settings)
    outbox = providers.ThreadSafeSingleton(Outbox, registry, store)
    canceller = providers.ThreadSafeSingleton(
        JobCanceller, jobs=rows, outbox=outbox, transaction=core.transaction
    )
    service = providers.ThreadSafeSingleton(
        JobService,
        jobs=rows,
        transaction=core.transaction,
        wake_ups=wake_ups,
        canceller=canceller,
        settings=core.settings,
        resource_urls=urls,
    )
    operations = providers.ThreadSafeSingleton(
        OperationsService,
        rows=providers.ThreadSafeSingleton(OperationsRepository, core.database),
        jobs=rows,
        wake_ups=wake_ups,
        registry=registry,
        outbox=outbox,
        canceller=canceller,
        transaction=core.transaction,
        settings=core.settings,
        audit=core.audit_log,
    )
    measures = providers.ThreadSafeSingleton(
        JobMeasures, operations, providers.ThreadSafeSingleton(DurationRepository, core.database)
    )
    watcher = providers.ThreadSafeSingleton(JobWatcher, jobs=rows)
    relay = providers.ThreadSafeSingleton(
        Relay,
        rows=relay_rows,
        registry=registry,
        outbox=outbox,
        wake_ups=wake_ups,
        transaction=core.transaction,
        settings=core.settings,
        clock=core.clock,
    )
    runner = providers.ThreadSafeSingleton(
        JobRunner,
        leases=leases,
        registry=registry,
        transaction=core.transaction,
        outbox=outbox,
        settings=core.settings,
        clock=core.clock,
        provide=provide,
        worker_id=worker_id,
    )

    recovery = providers.ThreadSafeSingleton(
        JobRecovery,
        providers.ThreadSafeSingleton(RecoveryRepository, core.database),
        transaction=core.transaction,
    )

    stoppables = providers.List(watcher, wake_ups)
    routers = providers.Object([router.router])
    tasks = providers.Object(tasks)
    personal_data = service
    resource_urls: providers.Object[dict[str, str]] = providers.Object({})
