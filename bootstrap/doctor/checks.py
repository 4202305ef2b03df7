"""All checks of the doctor."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bootstrap.container import TulouContainer
from bootstrap.doctor import database, machine, redis, work
from bootstrap.doctor.connections import connections
from bootstrap.doctor.database import database_place
from bootstrap.doctor.mail import mail_place, mail_server
from bootstrap.doctor.places import Place
from bootstrap.doctor.redis import redis_place
from bootstrap.doctor.store import data_folder, file_store, store_place
from bootstrap.settings.model import Settings


@dataclass(frozen=True)
class Check:
    """One question. `ask` returns what is well, or raises an Ailment; `where` is the server that it asks."""

    name: str
    ask: Callable[[TulouContainer], Awaitable[str]]
    where: Callable[[Settings], Place | None] = lambda _: None

    @property
    def needs_database(self) -> bool:
        """Whether it can't be asked without PostgreSQL."""
        return self.where is database_place


CHECKS = (
    Check("database", database.answers, database_place),
    Check("database role", database.role, database_place),
    Check("migrations", database.migrations, database_place),
    Check("indexes", database.indexes, database_place),
    Check("database rights", database.rights, database_place),
    Check("connections", connections, database_place),
    Check("clock", database.clock, database_place),
    Check("redis", redis.keeps_hints, redis_place),
    Check("hints", redis.takes_hints, redis_place),
    Check("redis rights", redis.may_only_hint, redis_place),
    Check("mail server", mail_server, mail_place),
    Check("file store", file_store, store_place),
    Check("sandbox", machine.sandbox),
    Check("disk", data_folder),
    Check("proxies", machine.proxies),
    Check("metrics", machine.metrics_token),
    Check("backups", machine.backups, database_place),
    Check("workers", work.workers, database_place),
    Check("relay", work.relay, database_place),
    Check("versions", work.versions, database_place),
    Check("failed jobs", work.failed_jobs, database_place),
    Check("uncertain mails", work.uncertain_mails, database_place),
)
