"""The parts of a bundle for support: numbers, versions and settings; no row of a table and no line of a log."""

import os
import platform
import resource
from collections.abc import Awaitable, Callable
from datetime import datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, any_, bindparam, cast, func, literal_column, select
from sqlalchemy import table as sql_table
from sqlmodel import col

from bootstrap.container import TulouContainer, domains_of, exports
from bootstrap.doctor.redis import connect
from bootstrap.doctor.scrubbing import Scrubber
from bootstrap.migrations.lineage import REVISION, our_history
from bootstrap.settings.model import Settings
from domains.jobs.models import Attempt, Job
from domains.jobs.service.operations import OperationsService
from shared.db.statement import Statement
from shared.schemas import Row
from shared.wiring import provided_by

MOST_FAILURES = 100
"""Lines about attempts that failed: one for each kind, code and outcome."""

_CGROUP = Path("/sys/fs/cgroup")
_CGROUP_FILES = (
    *("memory.max", "memory.high", "memory.current", "memory.peak", "memory.events", "memory.swap.max"),
    *("cpu.max", "cpu.stat", "pids.max", "pids.current"),
)
_RESOURCES = ("NOFILE", "NPROC", "AS", "CORE", "STACK", "MEMLOCK")
_REDIS_INFO = (
    *("redis_version", "valkey_version", "server_name", "redis_mode", "role", "uptime_in_seconds", "loading"),
    *("used_memory", "used_memory_peak", "maxmemory", "maxmemory_policy", "mem_fragmentation_ratio"),
    *(
        "connected_clients",
        "blocked_clients",
        "maxclients",
        "rejected_connections",
        "evicted_keys",
        "expired_keys",
    ),
    *("instantaneous_ops_per_sec", "aof_enabled", "rdb_last_bgsave_status", "master_link_status", "db0"),
)
_POSTGRES_SETTINGS = (
    *("server_version", "max_connections", "superuser_reserved_connections", "shared_buffers", "work_mem"),
    *(
        "maintenance_work_mem",
        "effective_cache_size",
        "max_wal_size",
        "wal_level",
        "synchronous_commit",
        "fsync",
    ),
    *(
        "synchronous_standby_names",
        "default_transaction_read_only",
        "default_transaction_isolation",
        "autovacuum",
    ),
    *("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "deadlock_timeout", "jit"),
    *(
        "random_page_cost",
        "max_worker_processes",
        "max_parallel_workers",
        "ssl",
        "password_encryption",
        "TimeZone",
    ),
    *(
        "server_encoding",
        "lc_collate",
        "transaction_read_only",
        "track_io_timing",
        "huge_pages",
        "temp_file_limit",
    ),
)


class _Setting(Row):
    name: str
    value: str | None


class _TableSize(Row):
    name: str
    rows: int
    bytes: int
    index_bytes: int
    dead_rows: int
    vacuumed: str | None
    analyzed: str | None


class _Failure(Row):
    kind: str
    code: str | None
    outcome: str
    number: int
    latest: str


_SETTINGS = Statement(
    select(
        literal_column("name").label("name"),
        literal_column("concat_ws(' ', setting, unit)").label("value"),
    )
    .select_from(sql_table("pg_settings", schema="pg_catalog"))
    .where(literal_column("name") == any_(bindparam("names", type_=ARRAY(Text()))))
    .order_by(literal_column("name")),
    _Setting,
)
_SIZES = Statement(
    select(
        literal_column("relid::regclass::text").label("name"),
        literal_column("n_live_tup").label("rows"),
        literal_column("pg_total_relation_size(relid)").label("bytes"),
        literal_column("pg_indexes_size(relid)").label("index_bytes"),
        literal_column("n_dead_tup").label("dead_rows"),
        literal_column("GREATEST(last_vacuum, last_autovacuum)::text").label("vacuumed"),
        literal_column("GREATEST(last_analyze, last_autoanalyze)::text").label("analyzed"),
    )
    .select_from(sql_table("pg_stat_user_tables", schema="pg_catalog"))
    .where(literal_column("schemaname") == any_(bindparam("schemas", type_=ARRAY(Text()))))
    .order_by(literal_column("3 DESC")),
    _TableSize,
)
_day_ago: ColumnElement[datetime] = literal_column("now() - interval '24 hours'")
_code = col(Attempt.error)["code"].astext
_FAILURES = Statement(
    select(
        col(Job.kind),
        _code.label("code"),
        col(Attempt.outcome),
        func.count().label("number"),
        cast(func.max(Attempt.ended_at), Text).label("latest"),
    )
    .join(Job, col(Job.id) == col(Attempt.job_id))
    .where(col(Attempt.ended_at) > _day_ago)
    .group_by(col(Job.kind), _code, col(Attempt.outcome))
    .order_by(func.count().desc())
    .limit(literal_column(str(MOST_FAILURES))),
    _Failure,
)

Part = Callable[[TulouContainer], Awaitable[Any]]


def of_machine() -> dict[str, Any]:
    """Return what runs here, and the limits of the container and of the process."""
    limits = {name.lower(): resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in _RESOURCES}
    files = {name: _CGROUP / name for name in _CGROUP_FILES}
    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "cpus_allowed": len(os.sched_getaffinity(0)),
        "user_id": os.getuid(),
        "in_a_container": Path("/.dockerenv").exists() or Path("/run/.containerenv").exists(),
        "limits": limits,
        "cgroup": {name: file.read_text().strip() for name, file in files.items() if file.is_file()},
    }


def of_packages() -> dict[str, str]:
    """Return the version of each package that is installed."""
    return {each.name.lower(): each.version for each in sorted(distributions(), key=lambda each: each.name)}


def of_settings(settings: Settings, scrubber: Scrubber) -> dict[str, Any]:
    """Return every setting; secrets, and what names a person, are hidden."""
    return {
        f"TULOU_{name.upper()}": {
            "value": scrubber.setting(getattr(settings, name)),
            "source": "set" if name in settings.model_fields_set else "default",
        }
        for name in sorted(type(settings).model_fields)
    }


async def _migrations(container: TulouContainer) -> Any:
    history = our_history()
    revision, comment = await container.database().ask(REVISION) or (None, None)
    return {
        "database": revision,
        "this_version": history.head,
        "standing": history.status_of(revision, comment).value,
        "known": history.revisions,
    }


async def _jobs(container: TulouContainer) -> Any:
    return (await _operations(container).statistics()).model_dump(mode="json")


async def _failures(container: TulouContainer) -> Any:
    return [row.model_dump(mode="json") for row in await container.database().fetch_all(_FAILURES)]


async def _workers(container: TulouContainer) -> Any:
    """Return the workers without their hosts, whose names may be those of people's machines."""
    shown = {"queues", "version", "draining", "started_at", "silence", "running"}
    return [row.model_dump(mode="json", include=shown) for row in await _operations(container).workers()]


async def _measures(container: TulouContainer) -> Any:
    parts = exports(container, "measures").values()
    found = [measure for part in parts for measure in await part.measure()]
    return {measure.name: {",".join(labels): value for labels, value in measure.values} for measure in found}


async def _tables(container: TulouContainer) -> Any:
    rows = await container.database().fetch_all(_SIZES, schemas=list(domains_of(container)))
    return [row.model_dump() for row in rows]


async def _postgres(container: TulouContainer) -> Any:
    rows = await container.database().fetch_all(_SETTINGS, names=list(_POSTGRES_SETTINGS))
    return {row.name: row.value for row in rows}


async def _redis(container: TulouContainer) -> Any:
    async with connect(container.settings()) as redis:
        info = await redis.info()
    return {name: info[name] for name in _REDIS_INFO if name in info}


async def _mode(container: TulouContainer) -> Any:
    stored = (await container.modes.service().stored()).model_dump(mode="json", exclude={"message"})
    return {"setting": container.settings().mode, "stored": stored}


PARTS: dict[str, Part] = {
    "migrations": _migrations,
    "mode": _mode,
    "jobs": _jobs,
    "failures": _failures,
    "workers": _workers,
    "measures": _measures,
    "tables": _tables,
    "postgres": _postgres,
    "redis": _redis,
}
"""What has to be asked for, by the name of its file."""


def _operations(container: TulouContainer) -> OperationsService:
    return provided_by(container, "jobs.operations", OperationsService)
