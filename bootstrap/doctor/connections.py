"""Check of the connections that all processes may open, against what PostgreSQL allows."""

from bootstrap.compose import RELAY_POOL
from bootstrap.container import TulouContainer
from bootstrap.diagnosis.errors import CheckFailed
from bootstrap.doctor.database import database_place
from bootstrap.doctor.work import living_workers

_LIMITS = """
    SELECT LEAST(
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
            - COALESCE(current_setting('reserved_connections', true), '0')::int,
        (SELECT NULLIF(rolconnlimit, -1) FROM pg_catalog.pg_roles WHERE rolname = current_user),
        (SELECT NULLIF(datconnlimit, -1) FROM pg_catalog.pg_database WHERE datname = current_database())
    ), (SELECT COALESCE(sum(numbackends), 0)::int FROM pg_catalog.pg_stat_database)
"""


async def connections(container: TulouContainer) -> str:
    """Check that all pools together fit into what PostgreSQL allows."""
    settings = container.settings()
    allowed, in_use = await container.database().ask(_LIMITS)
    living = await living_workers(container)
    workers = sum(bool(row.queues) for row in living)
    relays = len(living) - workers
    of_api = settings.database_pool
    of_worker = settings.database_worker_pool * settings.worker_concurrency
    of_relay = RELAY_POOL
    apis = settings.doctor_api_processes
    required = apis * of_api + workers * of_worker + relays * of_relay
    place = database_place(settings)
    counted = f"{apis} API x {of_api}, {workers} workers x {of_worker}, {relays} relays x {of_relay}"
    if required > allowed:
        raise CheckFailed(
            f"{place} allows {allowed} connections, and the processes may open {required} ({counted}).",
            f"Raise max_connections by {required - allowed} or more (or the limit of the role or database), or"
            " lower TULOU_DATABASE_POOL or TULOU_DATABASE_WORKER_POOL; TULOU_DOCTOR_API_PROCESSES says how many APIs"
            " there are.",
        )
    return f"{required} of {allowed} at the most ({counted}); {in_use} in use"
