"""All checks of the doctor."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bootstrap.container import TulouContainer
from bootstrap.diagnosis.places import Place
from bootstrap.doctor import database, machine, redis, work
from bootstrap.doctor.connections import connections
from bootstrap.doctor.database import database_place
from bootstrap.doctor.mail import mail_place, mail_server
from bootstrap.doctor.redis import redis_place
from bootstrap.doctor.store import data_folder, file_store, store_place
from bootstrap.settings.model import Settings


@dataclass(frozen=True)
class HealthCheck:
    """One check. `ask` returns a description of the good state, or raises CheckFailed; `where` is the server."""

    name: str
    ask: Callable[[TulouContainer], Awaitable[str]]
    where: Callable[[Settings], Place | None] = lambda _: None

    @property
    def needs_database(self) -> bool:
        """Whether the check needs PostgreSQL."""
        return self.where is database_place


CHECKS = (
    HealthCheck("database", database.version_and_role, database_place),
    HealthCheck("database role", database.role, database_place),
    HealthCheck("migrations", database.migrations, database_place),
    HealthCheck("indexes", database.indexes, database_place),
    HealthCheck("database rights", database.rights, database_place),
    HealthCheck("connections", connections, database_place),
    HealthCheck("clock", database.clock, database_place),
    HealthCheck("redis", redis.server_configuration, redis_place),
    HealthCheck("hints", redis.accepts_wake_ups, redis_place),
    HealthCheck("redis rights", redis.user_privileges, redis_place),
    HealthCheck("mail server", mail_server, mail_place),
    HealthCheck("file store", file_store, store_place),
    HealthCheck("sandbox", machine.sandbox),
    HealthCheck("disk", data_folder),
    HealthCheck("proxies", machine.proxies),
    HealthCheck("metrics", machine.metrics_token),
    HealthCheck("backups", machine.backups, database_place),
    HealthCheck("workers", work.workers, database_place),
    HealthCheck("relay", work.relay, database_place),
    HealthCheck("versions", work.versions, database_place),
    HealthCheck("failed jobs", work.failed_jobs, database_place),
    HealthCheck("uncertain mails", work.uncertain_mails, database_place),
)
