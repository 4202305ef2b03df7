"""Metrics of PostgreSQL, and the time of the last backup."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from prometheus_client.metrics_core import Metric
from sqlalchemy import literal_column, select

from bootstrap.backup.last_backup import LAST_BACKUP, taken_at
from bootstrap.observability.families import gauge
from shared.clock import Clock
from shared.db.database import Database
from shared.db.statement import Statement
from shared.schemas import Row


class _Usage(Row):
    bytes: int
    connections: int
    connections_limit: int


_CONNECTIONS = "(SELECT coalesce(sum(numbackends), 0)::int FROM pg_catalog.pg_stat_database)"
_LIMIT = "current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
_USAGE = Statement(
    select(
        literal_column("pg_database_size(current_database())").label("bytes"),
        literal_column(_CONNECTIONS).label("connections"),
        literal_column(_LIMIT).label("connections_limit"),
    ),
    _Usage,
)


class PostgresMetrics:
    """Reads with the application's role, which may read all of it."""

    fresh_for = 15.0

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def read(self) -> Sequence[Metric]:
        """Ask the database."""
        (usage,) = await self._database.fetch_all(_USAGE)
        recorded = await self._database.fetch_one(LAST_BACKUP)
        return list(self._families(usage, taken_at(recorded)))

    def _families(self, usage: _Usage, backup: datetime | None) -> Iterator[Metric]:
        yield gauge("tulou_postgres_bytes", "Size of the database.", [], [([], usage.bytes)])
        yield gauge(
            "tulou_postgres_connections",
            "Open connections of all programs, to all databases of the server.",
            [],
            [([], usage.connections)],
        )
        yield gauge(
            "tulou_postgres_connections_limit",
            "Connections that PostgreSQL allows without those reserved for superusers.",
            [],
            [([], usage.connections_limit)],
        )
        yield gauge(
            "tulou_backup_age_seconds",
            "Seconds since the start of the last complete backup by `tulou backup`; absent if there is none.",
            [],
            [([], max(0.0, (self._clock.now() - backup).total_seconds()))] if backup else [],
        )
