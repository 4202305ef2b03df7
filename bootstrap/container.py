"""The composition root: shared infrastructure first, then one entry per domain in dependency order.

A domain may be given only what is defined above it.
"""

import inspect
from functools import partial
from typing import Any

from dependency_injector import containers, providers

from bootstrap.migrations.schema_check import schema_mismatch
from bootstrap.settings.model import Settings
from domains.auth.container import AuthContainer
from domains.emails.container import EmailsContainer
from domains.files.container import FilesContainer
from domains.idempotency.container import IdempotencyContainer
from domains.jobs.container import JobsContainer
from domains.modes.container import ModesContainer
from domains.users.container import UsersContainer
from shared.clock import Clock
from shared.container import CoreContainer
from shared.db.database import Database
from shared.jobs import JobRegistry
from shared.wiring import provided_by


def domains_of(container: Any) -> dict[str, Any]:
    """Return the containers of the domains by name, in dependency order."""
    return {
        name: getattr(container, name)
        for name, provider in container.providers.items()
        if isinstance(provider, providers.Container) and name != "core"
    }


def exports(container: Any, name: str) -> dict[str, Any]:
    """Return what the domains export under a name (`routers`, `tasks`, `personal_data`, ...), by domain."""
    exported = {domain: parts.providers.get(name) for domain, parts in domains_of(container).items()}
    return {
        domain: part()
        for domain, part in exported.items()
        if part is not None and not isinstance(part, providers.Dependency)
    }


def sole_export(container: Any, name: str) -> Any:
    """Return what exactly one domain exports under a name.

    Raises:
        LookupError: no domain exports it, or several do.
    """
    exported = exports(container, name)
    if len(exported) != 1:
        raise LookupError(f"One domain must export {name}; these do: {', '.join(exported) or 'none'}.")
    (part,) = exported.values()
    return part


def purpose_of(parts: Any) -> str:
    """Return what a domain is for: the first line of its container's docstring."""
    return (inspect.getdoc(parts.declarative_parent) or "").split("\n")[0]


def served_domains(container: Any) -> list[str]:
    """Return the domains whose routes or jobs this process serves: all, unless the settings name some."""
    chosen = container.settings().domains
    return [name for name in domains_of(container) if not chosen or name in chosen]


def _all_erasers(container: Any) -> list[Any]:
    return list(exports(container, "personal_data").values())


def _all_resource_urls(container: Any) -> dict[str, str]:
    return {kind: url for urls in exports(container, "resource_urls").values() for kind, url in urls.items()}


class TulouContainer(containers.DeclarativeContainer):
    """The whole program. Services and repositories keep no state between calls, so each exists once."""

    __self__ = providers.Self()

    settings = providers.Dependency(instance_of=Settings)
    database_url = providers.Dependency(instance_of=str, default="")
    pool_size = providers.Dependency(instance_of=int, default=1)
    replica_urls = providers.Dependency(instance_of=tuple, default=())
    worker_id = providers.Dependency(instance_of=str, default="")

    clock = providers.ThreadSafeSingleton(Clock)
    database = providers.ThreadSafeSingleton(
        Database,
        database_url,
        pool_size=pool_size,
        timeout=settings.provided.database_timeout,
        prepared=settings.provided.keeps_statements_prepared,
        replica_urls=replica_urls,
        replica_lag=settings.provided.database_replica_lag,
        schema_mismatch=providers.Object(schema_mismatch),
    )
    registry = providers.ThreadSafeSingleton(
        JobRegistry, longest_timeout=settings.provided.jobs_longest_timeout
    )
    provide = providers.Factory(partial, provided_by, __self__)

    # Domains export these, some of them above those that use them: they are looked up at the first use.
    account_directory = providers.Callable(sole_export, __self__, "account_directory")
    quotas = providers.Callable(sole_export, __self__, "quotas")
    templates = providers.Callable(exports, __self__, "templates")
    urls = providers.Callable(_all_resource_urls, __self__)

    core = providers.Container(
        CoreContainer,
        settings=settings,
        database=database,
        transaction=database.provided.transaction,
        clock=clock,
        outbox=providers.Callable(sole_export, __self__, "outbox"),
        account_lock=providers.Callable(sole_export, __self__, "account_lock"),
        audit_log=providers.Callable(sole_export, __self__, "audit_log"),
        erasers=providers.Callable(_all_erasers, __self__).provider,
    )

    modes = providers.Container(ModesContainer, core=core)
    idempotency = providers.Container(IdempotencyContainer, core=core)
    jobs = providers.Container(
        JobsContainer, core=core, registry=registry, urls=urls, provide=provide, worker_id=worker_id
    )
    files = providers.Container(FilesContainer, core=core, jobs=jobs.service, quotas=quotas)
    emails = providers.Container(EmailsContainer, core=core, jobs=jobs.service, template_folders=templates)
    users = providers.Container(UsersContainer, core=core, accounts=account_directory)
    auth = providers.Container(
        AuthContainer, core=core, users=users.lookup, mailer=emails.mailer, erasures=files.erasures
    )
