"""Tables from PostgreSQL's catalogue and their rows by COPY, which needs no client program of the server's version."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import asyncpg

from bootstrap.backup.errors import BackupRefused
from bootstrap.settings.model import Settings

_OURS = """
    n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
    AND n.nspowner = (SELECT c.relowner FROM pg_class c WHERE c.oid = to_regclass('alembic_version'))
    AND n.nspname <> 'public'
"""
_TABLES = f"""
    SELECT n.nspname AS schema, c.relname AS name,
           array_agg(a.attname::text ORDER BY a.attnum) AS columns
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    WHERE c.relkind = 'r' AND {_OURS}
    GROUP BY 1, 2 ORDER BY 1, 2
"""  # noqa: S608  # no input in it
_BYTES = f"""
    SELECT coalesce(sum(pg_table_size(c.oid)), 0)::bigint
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND {_OURS}
"""  # noqa: S608  # no input in it
_REFERENCES = """
    SELECT n.nspname || '.' || c.relname AS child, fn.nspname || '.' || f.relname AS parent
    FROM pg_constraint k
    JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace
    WHERE k.contype = 'f' AND k.conrelid <> k.confrelid
"""
_SEQUENCES = """
    SELECT quote_ident(schemaname) || '.' || quote_ident(sequencename) AS name, last_value
    FROM pg_sequences WHERE last_value IS NOT NULL AND schemaname <> 'public'
"""
_CHUNKS_WAITING = 16


@dataclass(frozen=True)
class SqlTable:
    """A table and its columns, without generated ones."""

    schema: str
    name: str
    columns: list[str]

    @property
    def full_name(self) -> str:
        """Schema and name."""
        return f"{self.schema}.{self.name}"

    @property
    def quoted(self) -> str:
        """The quoted name for SQL."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"


def quoted(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


async def tables_of(connection: Any) -> list[SqlTable]:
    """Return the domains' tables, each after those that it refers to."""
    found = {f"{row['schema']}.{row['name']}": row for row in await connection.fetch(_TABLES)}
    order: TopologicalSorter[str] = TopologicalSorter({name: set() for name in found})
    for row in await connection.fetch(_REFERENCES):
        if row["child"] in found and row["parent"] in found:
            order.add(row["child"], row["parent"])
    rows = [found[name] for name in order.static_order()]
    return [SqlTable(row["schema"], row["name"], list(row["columns"])) for row in rows]


async def schemas_of(connection: Any) -> list[str]:
    """Return the domains' schemas."""
    rows = await connection.fetch(f"SELECT n.nspname AS name FROM pg_namespace n WHERE {_OURS} ORDER BY 1")  # noqa: S608  # as above
    return [row["name"] for row in rows]


async def bytes_of_tables(connection: Any) -> int:
    """Return the bytes of the domains' tables, without their indexes."""
    size: int = await connection.fetchval(_BYTES)
    return size


async def referring_to(connection: Any, names: set[str]) -> set[str]:
    """Return tables and all that refer to them, or to what refers to them."""
    pairs = [(row["child"], row["parent"]) for row in await connection.fetch(_REFERENCES)]
    found = set(names)
    while more := {child for child, parent in pairs if parent in found} - found:
        found |= more
    return found


async def sequences_of(connection: Any) -> dict[str, int]:
    """Return the sequences that were used, and their last values."""
    return {row["name"]: row["last_value"] for row in await connection.fetch(_SEQUENCES)}


class Rows:
    """The rows of a table as a stream; `count` is set at its end."""

    def __init__(self, connection: Any, table: SqlTable) -> None:
        self.count = 0
        self._connection = connection
        columns = ", ".join(quoted(name) for name in table.columns)
        self._query = f"SELECT {columns} FROM {table.quoted}"  # noqa: S608  # names of the catalogue, quoted

    async def passing(self) -> AsyncIterator[bytes]:
        """Yield them in the text format of COPY, holding a few pieces at most."""
        waiting: asyncio.Queue[bytes | None] = asyncio.Queue(_CHUNKS_WAITING)
        copying = asyncio.create_task(self._copy(waiting))
        try:
            while (chunk := await waiting.get()) is not None:
                yield chunk
            self.count = int((await copying).rsplit(" ", 1)[-1])
        finally:
            copying.cancel()

    async def _copy(self, waiting: asyncio.Queue[bytes | None]) -> str:
        try:
            status: str = await self._connection.copy_from_query(self._query, output=waiting.put)
        finally:
            await waiting.put(None)
        return status


async def load(connection: Any, table: SqlTable, rows: AsyncIterator[bytes]) -> int:
    """Write rows in the text format of COPY; return how many."""
    status: str = await connection.copy_to_table(
        table.name, schema_name=table.schema, columns=table.columns, source=rows
    )
    return int(status.rsplit(" ", 1)[-1])


async def connect(url: str, *, name: str) -> Any:
    """Open a connection of its own, without a limit on the time of a statement."""
    settings = {
        "application_name": name,
        "statement_timeout": "0",
        "idle_session_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
    }
    return await asyncpg.connect(url, timeout=10, server_settings=settings)


def owner_url(settings: Settings) -> str:
    """Return the database URL of the role that may read and replace everything."""
    url = settings.database_owner_url or settings.database_url
    if url is None:
        raise BackupRefused("TULOU_DATABASE_URL is not set: there is no database.")
    return url.get_secret_value()
