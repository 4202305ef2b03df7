"""`tulou doctor`: checks everything the program depends on, and says how to mend what is wrong."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from alembic.script import ScriptDirectory
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, literal_column, select
from sqlalchemy import table as sql_table

from bootstrap.container import TulouContainer
from bootstrap.migrate import FOLDER
from shared.errors import AppError
from shared.ids import new_id
from shared.schemas import Row
from shared.statements import Statement

OLDEST_POSTGRES = 160000
DRIFT = timedelta(seconds=5)


class Ailment(Exception):
    """Something is wrong; `cure` says how to mend it."""

    def __init__(self, sentence: str, cure: str) -> None:
        super().__init__(sentence)
        self.cure = cure


class _Server(Row):
    version: int
    now: datetime
    may_create: bool


class _Revision(Row):
    version_num: str


_SERVER = Statement(
    select(
        literal_column("current_setting('server_version_num')::int").label("version"),
        func.now().label("now"),
        literal_column("has_database_privilege(current_database(), 'CREATE')").label("may_create"),
    ),
    _Server,
)
_REVISION = Statement(
    select(literal_column("version_num").label("version_num")).select_from(sql_table("alembic_version")),
    _Revision,
)


@dataclass(frozen=True)
class Check:
    """One question to one dependency. `ask` returns what is well, or raises."""

    name: str
    cure: str
    ask: Callable[[TulouContainer], Awaitable[str]]


async def _database(container: TulouContainer) -> str:
    server = await container.database().fetch_one(_SERVER)
    if server is None or server.version < OLDEST_POSTGRES:
        raise Ailment("PostgreSQL is older than 16.", "Use PostgreSQL 16 or newer.")
    return f"PostgreSQL {server.version // 10000}"


async def _role(container: TulouContainer) -> str:
    server = await container.database().fetch_one(_SERVER)
    if server is not None and server.may_create and container.settings().env == "production":
        raise Ailment(
            "The application's role may create tables.",
            "Give TULOU_DATABASE_URL a role with data rights only, and the owner to TULOU_DATABASE_OWNER_URL.",
        )
    return "data only" if server is not None and not server.may_create else "owner (fine outside production)"


async def _migrations(container: TulouContainer) -> str:
    head = ScriptDirectory(str(FOLDER)).get_current_head()
    current = await container.database().fetch_one(_REVISION)
    if current is None or current.version_num != head:
        raise Ailment("The database is not up to date.", "Run `tulou migrate`.")
    return f"up to date ({head})"


async def _clock(container: TulouContainer) -> str:
    server = await container.database().fetch_one(_SERVER)
    drift = abs(container.clock().now() - server.now) if server else timedelta(0)
    if drift > DRIFT:
        raise Ailment(f"This machine and the database differ by {drift}.", "Let both follow an NTP server.")
    return f"differs by {drift.total_seconds():.3f} s"


async def _redis(container: TulouContainer) -> str:
    url = container.settings().redis_url
    redis = Redis.from_url(url.get_secret_value() if url else "", socket_timeout=2, socket_connect_timeout=2)
    try:
        await redis.ping()
        policy = (await redis.info("memory")).get("maxmemory_policy")
    finally:
        await redis.aclose()
    if policy != "noeviction":
        raise Ailment(f"Redis may drop hints (policy {policy}).", "Set maxmemory-policy to noeviction.")
    return "reachable, noeviction"


async def _mail(container: TulouContainer) -> str:
    async with container.emails.transport().converse() as conversation:
        return f"reachable, TLS {conversation.tls or 'off'}"


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


CHECKS = (
    Check("database", "Start PostgreSQL, and see to it that TULOU_DATABASE_URL leads to it.", _database),
    Check("database role", "See above.", _role),
    Check("migrations", "Run `tulou migrate`.", _migrations),
    Check("clock", "See above.", _clock),
    Check("redis", "Start Redis or Valkey, and see to it that TULOU_REDIS_URL leads to it.", _redis),
    Check("mail server", "See to it that SMTP_URL names a server that lets us in.", _mail),
    Check(
        "file store", "Look at TULOU_FILES_STORE_URL, its credentials, and the space that is left.", _store
    ),
)


def _sentence(error: Exception) -> str:
    return error.detail if isinstance(error, AppError) else f"{type(error).__name__}: {error}"


async def examine(container: TulouContainer) -> bool:
    """Ask everything, print a table; return whether all is well."""
    table = Table("what", "state", "how to mend it", title="Doctor")
    well = True
    for check in CHECKS:
        try:
            table.add_row(check.name, f"[green]ok[/green]: {await check.ask(container)}", "")
        except Ailment as ailment:
            well = False
            table.add_row(check.name, f"[red]{ailment}[/red]", ailment.cure)
        except Exception as error:  # noqa: BLE001  # however a check breaks, the others are asked
            well = False
            table.add_row(check.name, f"[red]{_sentence(error)}[/red]", check.cure)
    Console().print(table)
    return well
