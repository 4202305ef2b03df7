"""The parts of a bundle for support: counts, versions and settings; no table rows and no log lines."""

import json
import os
import platform
import resource
from collections.abc import Awaitable, Callable
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from bootstrap.container import TulouContainer, domains_of, exports
from bootstrap.doctor.redis import connect
from bootstrap.doctor.scrubbing import Scrubber
from bootstrap.migrations.lineage import REVISION, our_history
from bootstrap.settings.model import Settings
from domains.jobs.service.operations import OperationsService
from shared.wiring import provided_by

MOST_FAILURES = 100
"""Lines about attempts that failed: one for each kind, code and outcome."""

_CGROUP = Path("/sys/fs/cgroup")
_CGROUP_FILES = (
    "memory.max memory.high memory.current memory.peak memory.events memory.swap.max cpu.max cpu.stat pids.max"
    " pids.current"
)
_RESOURCES = ("NOFILE", "NPROC", "AS", "CORE", "STACK", "MEMLOCK")
_REDIS_INFO = (
    "redis_version valkey_version server_name redis_mode role uptime_in_seconds loading used_memory used_memory_peak"
    " maxmemory maxmemory_policy mem_fragmentation_ratio connected_clients blocked_clients maxclients"
    " rejected_connections evicted_keys expired_keys instantaneous_ops_per_sec aof_enabled rdb_last_bgsave_status"
    " master_link_status db0"
)
_POSTGRES_SETTINGS = (
    "server_version max_connections superuser_reserved_connections shared_buffers work_mem maintenance_work_mem"
    " effective_cache_size max_wal_size wal_level synchronous_commit fsync synchronous_standby_names"
    " default_transaction_read_only default_transaction_isolation autovacuum statement_timeout lock_timeout"
    " idle_in_transaction_session_timeout deadlock_timeout jit random_page_cost max_worker_processes"
    " max_parallel_workers ssl password_encryption TimeZone server_encoding lc_collate transaction_read_only"
    " track_io_timing huge_pages temp_file_limit"
)

_SETTINGS = """
    SELECT json_object_agg(name, concat_ws(' ', setting, unit) ORDER BY name)::text
    FROM pg_catalog.pg_settings WHERE name = ANY ($1::text[])
"""
_SIZES = """
    SELECT coalesce(json_agg(found), '[]')::text FROM (
        SELECT relid::regclass::text AS name, n_live_tup AS rows, pg_total_relation_size(relid) AS bytes,
               pg_indexes_size(relid) AS index_bytes, n_dead_tup AS dead_rows,
               GREATEST(last_vacuum, last_autovacuum)::text AS vacuumed,
               GREATEST(last_analyze, last_autoanalyze)::text AS analyzed
        FROM pg_catalog.pg_stat_user_tables WHERE schemaname = ANY ($1::text[]) ORDER BY bytes DESC
    ) AS found
"""
_FAILURES = f"""
    SELECT coalesce(json_agg(found), '[]')::text FROM (
        SELECT kind, attempts.error ->> 'code' AS code, outcome, count(*) AS number,
               max(attempts.ended_at)::text AS latest
        FROM jobs.attempts JOIN jobs.jobs ON jobs.id = attempts.job_id
        WHERE attempts.ended_at > now() - interval '24 hours'
        GROUP BY 1, 2, 3 ORDER BY number DESC LIMIT {MOST_FAILURES}
    ) AS found
"""  # noqa: S608  # no input in it

Part = Callable[[TulouContainer], Awaitable[Any]]


def of_machine() -> dict[str, Any]:
    """Return the system, and the limits of the container and of the process."""
    limits = {name.lower(): resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in _RESOURCES}
    files = {name: _CGROUP / name for name in _CGROUP_FILES.split()}
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
    return json.loads((await container.database().ask(_FAILURES))[0])


async def _workers(container: TulouContainer) -> Any:
    """Return the workers without their hosts, whose names may be those of people's machines."""
    shown = {"queues", "version", "draining", "started_at", "silence", "running"}
    return [row.model_dump(mode="json", include=shown) for row in await _operations(container).workers()]


async def _measures(container: TulouContainer) -> Any:
    parts = exports(container, "measures").values()
    found = [measure for part in parts for measure in await part.measure()]
    return {measure.name: {",".join(labels): value for labels, value in measure.values} for measure in found}


async def _tables(container: TulouContainer) -> Any:
    return json.loads((await container.database().ask(_SIZES, list(domains_of(container))))[0])


async def _postgres(container: TulouContainer) -> Any:
    return json.loads((await container.database().ask(_SETTINGS, _POSTGRES_SETTINGS.split()))[0])


async def _redis(container: TulouContainer) -> Any:
    async with connect(container.settings()) as redis:
        info = await redis.info()
    return {name: info[name] for name in _REDIS_INFO.split() if name in info}


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
"""The parts that need servers, by file name."""


def _operations(container: TulouContainer) -> OperationsService:
    return provided_by(container, "jobs.operations", OperationsService)
