"""What the modes domain depends on and what it exports."""

from dependency_injector import containers, providers

from domains.modes.repository import ModeRepository
from domains.modes.service import ModeMeasures, ModeService


class ModesContainer(containers.DeclarativeContainer):
    """Normal operation, read-only mode and maintenance."""

    core = providers.DependenciesContainer()

    repository = providers.ThreadSafeSingleton(ModeRepository, core.database)
    service = providers.ThreadSafeSingleton(
        ModeService,
        repository=repository,
        transaction=core.transaction,
        settings=core.settings,
        clock=core.clock,
        audit=core.audit_log,
    )
    measures = providers.ThreadSafeSingleton(ModeMeasures, service=service)
