"""How the idempotency domain is put together."""

from dependency_injector import containers, providers

from domains.idempotency import tasks as tasks_module
from domains.idempotency.repository import KeyRepository
from domains.idempotency.service import StoredResponseService
from domains.idempotency.settings import IdempotencySettings
from shared.db.database import Database, TransactionFactory


class IdempotencyContainer(containers.DeclarativeContainer):
    """Stored responses for repeated requests."""

    settings = providers.Dependency(instance_of=IdempotencySettings)
    database = providers.Dependency(instance_of=Database)
    transaction: providers.Dependency[TransactionFactory] = providers.Dependency()
    secrets = providers.Dependency(instance_of=list)

    repository = providers.ThreadSafeSingleton(KeyRepository, database)
    service = providers.ThreadSafeSingleton(
        StoredResponseService,
        repository=repository,
        transaction=transaction,
        settings=settings,
        secrets=secrets,
    )
    personal_data = service
    tasks = providers.Object(tasks_module)
