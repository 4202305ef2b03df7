"""What the idempotency domain depends on and what it exports."""

from dependency_injector import containers, providers

from domains.idempotency import tasks as tasks_module
from domains.idempotency.repository import KeyRepository
from domains.idempotency.service import StoredResponseService


class IdempotencyContainer(containers.DeclarativeContainer):
    """Stored responses for repeated requests."""

    core = providers.DependenciesContainer()

    repository = providers.ThreadSafeSingleton(KeyRepository, core.database)
    service = providers.ThreadSafeSingleton(
        StoredResponseService,
        repository=repository,
        transaction=core.transaction,
        settings=core.settings,
        secrets=core.settings.provided.plain_token_keys,
    )
    personal_data = service
    tasks = providers.Object(tasks_module)
