"""What the composition root hands to every domain's container."""

from collections.abc import Callable, Sequence
from typing import Any

from dependency_injector import containers, providers

from shared.audit import AuditLog
from shared.clock import Clock
from shared.db.database import Database, TransactionFactory
from shared.identity import AccountLock
from shared.jobs import Outbox
from shared.personal_data import PersonalDataEraser


class CoreContainer(containers.DeclarativeContainer):
    """What each domain may use: its container declares `core = providers.DependenciesContainer()`.

    The domains that implement `outbox`, `account_lock`, `audit_log` and `erasers` are looked up when a provider is
    called, so a domain may use them without being above those domains. `settings` are all settings of the program.
    """

    settings: providers.Dependency[Any] = providers.Dependency()
    database = providers.Dependency(instance_of=Database)
    transaction: providers.Dependency[TransactionFactory] = providers.Dependency()
    clock = providers.Dependency(instance_of=Clock)
    outbox = providers.Dependency(instance_of=Outbox)
    account_lock: providers.Dependency[AccountLock] = providers.Dependency()
    audit_log: providers.Dependency[AuditLog] = providers.Dependency()
    erasers: providers.Dependency[Callable[[], Sequence[PersonalDataEraser]]] = providers.Dependency()
