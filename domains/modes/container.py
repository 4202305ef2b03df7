"""How the modes domain is put together."""

from dependency_injector import containers, providers

from domains.modes.repository import ModeRepository
from domains.modes.service import ModeMeasures, ModeService
from domains.modes.settings import ModesSettings
from shared.audit import AuditLog
from shared.clock import Clock
from shared.db.database import Database, TransactionFactory


class ModesContainer(containers.DeclarativeContainer):
    """Normal operation, read-only mode and maintenance."""

    settings = providers.Dependency(instance_of=ModesSettings)
    database = providers.Dependency(instance_of=Database)
    transaction: providers.Dependency[TransactionFactory] = providers.Dependency()
    clock = providers.Dependency(instance_of=Clock)
    audit: providers.Dependency[AuditLog] = providers.Dependency()

    repository = providers.ThreadSafeSingleton(ModeRepository, database)
    service = providers.ThreadSafeSingleton(
        ModeService,
        repository=repository,
        transaction=transaction,
        settings=settings,
        clock=clock,
        audit=audit,
    )
    measures = providers.ThreadSafeSingleton(ModeMeasures, service=service)
