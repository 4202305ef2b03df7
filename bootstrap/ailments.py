"""What the doctor looks at: one question to each thing that the program depends on, and how to mend it."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from alembic.script import ScriptDirectory
from sqlalchemy import ARRAY, Text, any_, bindparam, func, literal_column, select
from sqlalchemy import table as sql_table

from bootstrap.ailment import Ailment, Risk
from bootstrap.container import TulouContainer, domains_of
from bootstrap.migrate import FOLDER
from bootstrap.migrations.grants import NEEDED, WITHHELD
from bootstrap.redis_checks import keeps_hints, may_only_hint, takes_hints
from domains.emails.settings import parse_smtp_url
from domains.files.errors import SandboxUnavailable
from domains.jobs.repository.operations import SILENT_AFTER
from domains.jobs.service.operations import OperationsService
from shared.ids import new_id
from shared.schemas import Row
from shared.statements import Statement
from shared.wiring import provided_by

OLDEST_POSTGRES = 160000
DRIFT = timedelta(seconds=5)
LONGEST_LAG = 10.0
"""Seconds that a relay may leave something undone."""


class _Server(Row):
    version: int
    now: datetime
    is_superuser: bool
    may_create: bool


class _Revision(Row):
    version_num: str


class _Index(Row):
    name: str


class _Rights(Row):
    name: str
    select: bool
    insert: bool
    update: bool
    delete: bool

    def differ(self, *, has: bool) -> bool:
        """Tell whether a right is there that should not be (`has`), or is not there that should be."""
        withheld = WITHHELD.get(self.name, ())
        return any(getattr(self, right.lower()) is has and (right in withheld) is has for right in NEEDED)


_SERVER = Statement(
    select(
        literal_column("current_setting('server_version_num')::int").label("version"),
        func.clock_timestamp().label("now"),
        literal_column("current_setting('is_superuser') = 'on'").label("is_superuser"),
        literal_column("has_database_privilege(current_database(), 'CREATE')").label("may_create"),
    ),
    _Server,
)
_REVISION = Statement(
    select(literal_column("version_num").label("version_num")).select_from(sql_table("alembic_version")),
    _Revision,
)
_schema = "relnamespace::regnamespace::text"
_RIGHTS = Statement(
    select(
        literal_column("oid::regclass::text").label("name"),
        *(literal_column(f"has_table_privilege(oid, '{right}')").label(right.lower()) for right in NEEDED),
    )
    .select_from(sql_table("pg_class", schema="pg_catalog"))
    .where(
        literal_column("relkind IN ('r', 'p')"),
        literal_column(_schema) == any_(bindparam("schemas", type_=ARRAY(Text()))),
    )
    .order_by(literal_column("1")),
    _Rights,
)
_INVALID_INDEXES = Statement(
    select(literal_column("oid::regclass::text").label("name"))
    .select_from(sql_table("pg_class", schema="pg_catalog"))
    .where(
        literal_column("oid IN (SELECT indexrelid FROM pg_catalog.pg_index WHERE NOT indisvalid)"),
        literal_column(_schema) == any_(bindparam("schemas", type_=ARRAY(Text()))),
    )
    .order_by(literal_column("1")),
    _Index,
)


@dataclass(frozen=True)
class Check:
    """One question to one dependency. `ask` returns what is well, or raises."""

    name: str
    cure: str
    ask: Callable[[TulouContainer], Awaitable[str]]


async def _database(container: TulouContainer) -> str:
    server = await _asked(container)
    if server.version < OLDEST_POSTGRES:
        raise Ailment("PostgreSQL is older than 16.", "Use PostgreSQL 16 or newer.")
    return f"PostgreSQL {server.version // 10000}"


async def _role(container: TulouContainer) -> str:
    server = await _asked(container)
    if container.settings().env != "production":
        return "the owner (fine outside production)" if server.may_create else "data only"
    cure = "Give TULOU_DATABASE_URL a role with data rights only, and the owner to TULOU_DATABASE_OWNER_URL."
    if server.is_superuser:
        raise Ailment("The application connects as a superuser.", cure)
    if server.may_create:
        raise Ailment("The application's role may create tables.", cure)
    return "data only"


async def _rights(container: TulouContainer) -> str:
    schemas = list(domains_of(container))
    rights = await container.database().fetch_all(_RIGHTS, schemas=schemas)
    cure = (
        "Run `tulou migrate`, with TULOU_DATABASE_URL and TULOU_DATABASE_OWNER_URL set: it grants the rights."
    )
    if missing := ", ".join(row.name for row in rights if row.differ(has=False)):
        raise Ailment(f"The application may not read and write {missing}.", cure)
    is_owner = (await _asked(container)).may_create
    if not is_owner and (changeable := ", ".join(row.name for row in rights if row.differ(has=True))):
        raise Ailment(f"The application may change what is only to be added to: {changeable}.", cure)
    return "reads and writes every table"


async def _migrations(container: TulouContainer) -> str:
    head = ScriptDirectory(str(FOLDER)).get_current_head()
    current = await container.database().fetch_one(_REVISION)
    if current is None or current.version_num != head:
        raise Ailment("The database is not up to date.", "Run `tulou migrate`.")
    return f"up to date ({head})"


async def _indexes(container: TulouContainer) -> str:
    schemas = list(domains_of(container))
    rows = await container.database().fetch_all(_INVALID_INDEXES, schemas=schemas)
    if rows:
        names = ", ".join(row.name for row in rows)
        statements = " ".join(f"REINDEX INDEX CONCURRENTLY {row.name};" for row in rows)
        raise Risk(
            f"No query uses these indexes, because building them has not ended: {names}.",
            "If `tulou migrate` is running, wait for its end; if it failed, run it again. Else, as the owner:"
            f" {statements}",
        )
    return "all valid"


async def _clock(container: TulouContainer) -> str:
    drift = abs(container.clock().now() - (await _asked(container)).now)
    if drift > DRIFT:
        raise Ailment(f"This machine and the database differ by {drift}.", "Let both follow an NTP server.")
    return f"differs by {drift.total_seconds():.3f} s"


async def _asked(container: TulouContainer) -> _Server:
    (server,) = await container.database().fetch_all(_SERVER)
    return server


async def _mail(container: TulouContainer) -> str:
    url = container.settings().emails_smtp_url
    if url is None:
        raise Ailment("No mail server is set: mails are only logged.", "Set SMTP_URL.")
    server = parse_smtp_url(url.get_secret_value())
    async with container.emails.transport().converse() as conversation:
        login = f"signed in as {server.username}" if server.username else "without a login"
        return f"reachable, TLS {conversation.tls or 'off'}, {login}"


async def _store(container: TulouContainer) -> str:
    store, key, content = container.files.store(), f"doctor/{new_id()}", b"Is there a doctor in the house?"

    async def pieces() -> AsyncIterator[bytes]:
        yield content

    await store.put(key, pieces())
    try:
        read = b"".join([piece async for piece in store.read(key, 0, len(content))])
    finally:
        await store.delete(key)
    if read != content:
        raise Ailment("The store gave other bytes than it was given.", "Look at the disk or the bucket.")
    return "writes, reads, deletes"


async def _sandbox(container: TulouContainer) -> str:
    settings = container.settings()
    if settings.files_sandbox == "off":
        return "off: files are opened without confinement (fine outside production)"
    renderer = container.files.renderer()
    try:
        await renderer.check()
    except SandboxUnavailable as error:
        cure = "Until then no image and no document is opened on this machine; uploads and downloads go on."
        raise Ailment(error.reason, cure) from error
    finally:
        await renderer.stop()
    return "every thread is confined"


async def _disk(container: TulouContainer) -> str:
    settings = container.settings()
    if not settings.data_dir.exists():
        raise Ailment(f"There is no folder {settings.data_dir}.", "Make it, or set TULOU_DATA_DIR.")
    free = shutil.disk_usage(settings.data_dir).free
    if free < settings.doctor_free_bytes:
        raise Ailment(
            f"{settings.data_dir} has {free >> 20} MiB left, fewer than {settings.doctor_free_bytes >> 20}.",
            "Make room, or set TULOU_DATA_DIR to a larger disk.",
        )
    if not os.access(settings.data_dir, os.W_OK):
        raise Ailment(f"{settings.data_dir} can't be written to.", f"Give it to user {os.getuid()}.")
    return f"{free >> 20} MiB free"


async def _workers(container: TulouContainer) -> str:
    workers = await provided_by(container, "jobs.operations", OperationsService).workers()
    able = [row for row in workers if row.silence < SILENT_AFTER.total_seconds() and not row.draining]
    served = {queue for row in able for queue in row.queues.split(",")}
    unserved = [queue for queue in container.registry().queues() if queue not in served]
    if unserved:
        raise Ailment(
            f"No worker serves {', '.join(unserved)}.",
            "Start " + ", ".join(f"`tulou worker --queue {queue}`" for queue in unserved) + ".",
        )
    return f"{sum(bool(row.queues) for row in able)} alive; each queue has one"


async def _relay(container: TulouContainer) -> str:
    operations = provided_by(container, "jobs.operations", OperationsService)
    rows = await operations.workers()
    if not any(not row.queues and row.silence < SILENT_AFTER.total_seconds() for row in rows):
        raise Ailment("No relay is alive: retries and recurring jobs wait.", "Start `tulou relay`.")
    lag = (await operations.load()).relay_lag_seconds
    if lag > LONGEST_LAG:
        raise Ailment(
            f"The relay is {lag:.0f} s behind.", "Look at its log; see to it that it reaches Redis."
        )
    return f"alive, {lag:.1f} s behind"


CHECKS = (
    Check("database", "Start PostgreSQL, and see to it that TULOU_DATABASE_URL leads to it.", _database),
    Check("database role", "See above.", _role),
    Check("migrations", "Run `tulou migrate`.", _migrations),
    Check("indexes", "See above.", _indexes),
    Check("database rights", "See above.", _rights),
    Check("clock", "See above.", _clock),
    Check("redis", "Start Redis or Valkey, and see to it that TULOU_REDIS_URL leads to it.", keeps_hints),
    Check("hints", "See above.", takes_hints),
    Check("redis rights", "See above.", may_only_hint),
    Check("mail server", "See to it that SMTP_URL names a server that lets us in.", _mail),
    Check(
        "file store", "Look at TULOU_FILES_STORE_URL, its credentials, and the space that is left.", _store
    ),
    Check("sandbox", "Look at the log for `sandbox_unavailable`.", _sandbox),
    Check("disk", "Look at TULOU_DATA_DIR.", _disk),
    Check("workers", "See above.", _workers),
    Check("relay", "See above.", _relay),
)
