"""The map of the program: what there is once, then one line for each domain, lowest first, with what it is given."""

import inspect
from functools import partial
from typing import Any

from dependency_injector.containers import DeclarativeContainer
from dependency_injector.providers import (
    Callable,
    Container,
    Dependency,
    Factory,
    Object,
    Self,
    ThreadSafeSingleton,
)

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
from shared.db.database import Database
from shared.jobs import JobRegistry
from shared.wiring import provided_by


def domains_of(container: Any) -> dict[str, Any]:
    """Return the containers of the domains by name, lowest rank first."""
    return {
        name: getattr(container, name)
        for name, provider in container.providers.items()
        if isinstance(provider, Container)
    }


def exports(container: Any, name: str) -> dict[str, Any]:
    """Return what the domains offer under a name (`routers`, `tasks`, `personal_data`, ...), by domain."""
    exporting = {domain: parts for domain, parts in domains_of(container).items() if name in parts.providers}
    return {domain: getattr(parts, name)() for domain, parts in exporting.items()}


def purpose_of(parts: Any) -> str:
    """Return what a domain is for: the first line of its container's docstring."""
    return (inspect.getdoc(parts.declarative_parent) or "").split("\n")[0]


def served_domains(container: Any) -> list[str]:
    """Return the domains whose routes or jobs this process serves: all, unless the settings name some."""
    chosen = container.settings().domains
    return [name for name in domains_of(container) if not chosen or name in chosen]


def _resource_urls(container: Any) -> dict[str, str]:
    return {kind: url for urls in exports(container, "resource_urls").values() for kind, url in urls.items()}


def _personal_data(container: Any) -> list[Any]:
    return list(exports(container, "personal_data").values())


def _account_lock(container: Any) -> Any:
    (lock,) = exports(container, "account_lock").values()
    return lock


def _audit_log(container: Any) -> Any:
    (audit_log,) = exports(container, "audit_log").values()
    return audit_log


def _quotas(container: Any) -> Any:
    (quotas,) = exports(container, "quotas").values()
    return quotas


def _account_directory(container: Any) -> Any:
    (account_directory,) = exports(container, "account_directory").values()
    return account_directory


def _templates(container: Any) -> dict[str, Any]:
    return exports(container, "templates")


class TulouContainer(DeclarativeContainer):
    """Everything that is composed. Services and repositories keep no state between calls, so each exists once."""

    __self__ = Self()

    settings = Dependency(instance_of=Settings)
    database_url = Dependency(instance_of=str)
    pool_size = Dependency(instance_of=int)
    replica_urls = Dependency(instance_of=tuple)
    worker_id = Dependency(instance_of=str)

    clock = ThreadSafeSingleton(Clock)
    database = ThreadSafeSingleton(
        Database,
        database_url,
        pool_size=pool_size,
        timeout=settings.provided.database_timeout,
        prepared=settings.provided.keeps_statements_prepared,
        replica_urls=replica_urls,
        replica_lag=settings.provided.database_replica_lag,
        schema_mismatch=Object(schema_mismatch),
    )
    registry = ThreadSafeSingleton(JobRegistry, longest_timeout=settings.provided.jobs_longest_timeout)
    provide = Factory(partial, provided_by, __self__)
    urls = Callable(_resource_urls, __self__)
    personal_data = Callable(_personal_data, __self__)
    account_lock = Callable(_account_lock, __self__)
    audit_log = Callable(_audit_log, __self__)
    quotas = Callable(_quotas, __self__)
    account_directory = Callable(_account_directory, __self__)
    template_folders = Callable(_templates, __self__)

    modes = Container(
        ModesContainer,
        settings=settings,
        database=database,
        transaction=database.provided.transaction,
        clock=clock,
        audit=audit_log,
    )
    idempotency = Container(
        IdempotencyContainer,
        settings=settings,
        database=database,
        transaction=database.provided.transaction,
        secrets=settings.provided.plain_token_keys,
    )
    jobs = Container(
        JobsContainer,
        settings=settings,
        database=database,
        transaction=database.provided.transaction,
        clock=clock,
        registry=registry,
        redis_url=settings.provided.redis_url.get_secret_value.call(),
        urls=urls,
        provide=provide,
        worker_id=worker_id,
        audit=audit_log,
    )
    files = Container(
        FilesContainer,
        settings=settings,
        database=database,
        transaction=database.provided.transaction,
        clock=clock,
        outbox=jobs.outbox,
        accounts=account_lock,
        jobs=jobs.service,
        personal_quotas=quotas,
        data_dir=settings.provided.data_dir,
    )
    emails = Container(
        EmailsContainer,
        settings=settings,
        database=database,
        transaction=database.provided.transaction,
        clock=clock,
        outbox=jobs.outbox,
        jobs=jobs.service,
        template_folders=template_folders,
        mail_keys=settings.provided.plain_mail_keys,
        public_url=settings.provided.public_url,
        audit=audit_log,
    )
    users = Container(
        UsersContainer,
        settings=settings,
        database=database,
        transaction=database.provided.transaction,
        clock=clock,
        accounts=account_directory,
    )
    auth = Container(
        AuthContainer,
        settings=settings,
        database=database,
        transaction=database.provided.transaction,
        clock=clock,
        outbox=jobs.outbox,
        users=users.directory,
        mailer=emails.mailer,
        erasers=personal_data.provider,
        erasures=files.erasures,
        signing_keys=settings.provided.plain_signing_keys,
        signing_keys_es256=settings.provided.plain_signing_keys_es256,
        token_keys=settings.provided.plain_token_keys,
        public_url=settings.provided.public_url,
        links_url=settings.provided.links_url,
    )
