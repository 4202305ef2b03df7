"""Jobs that wait while a domain gets another name are jobs of the renamed one, and can be done."""

import json

import asyncpg

from shared.ids import new_id
from tools.scaffold.migration import renaming_of_jobs

ADD = (
    "INSERT INTO jobs.jobs (id, kind, queue, payload, payload_version, state, priority, attempt, crashes, revision,"
    " progress_current, max_attempts, resource_type, resource_id)"
    " VALUES ($1, $2, 'default', $3, 1, 'queued', 100, 0, 0, 1, 0, 5, $4, $5)"
)


async def test_waiting_jobs_and_schedules_know_the_new_names(servers, settings) -> None:
    thing, own, of_a_friend, other = (new_id() for _ in range(4))
    payload = json.dumps({"owner_id": None, "vehicle_id": str(thing)})
    connection = await asyncpg.connect(servers.superuser_url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(ADD, own, "vehicles.check", payload, "vehicle", thing)
        await connection.execute(ADD, of_a_friend, "garages.forget_vehicle", payload, "vehicle", thing)
        await connection.execute(ADD, other, "vehicles_of_others.check", payload, "file", thing)
        await connection.execute("INSERT INTO jobs.schedules VALUES ('vehicles.remind', now())")
        for statement in renaming_of_jobs("vehicles", "cars", "vehicle", "car"):
            await connection.execute(statement)
        found = {
            row["id"]: (row["kind"], json.loads(row["payload"]), row["resource_type"])
            for row in await connection.fetch("SELECT * FROM jobs.jobs WHERE resource_id = $1", thing)
        }
        renamed = {"owner_id": None, "car_id": str(thing)}
        assert found == {
            own: ("cars.check", renamed, "car"),
            of_a_friend: ("garages.forget_vehicle", renamed, "car"),
            other: ("vehicles_of_others.check", json.loads(payload), "file"),
        }
        assert (
            await connection.fetchval("SELECT count(*) FROM jobs.schedules WHERE kind = 'cars.remind'") == 1
        )
    finally:
        await transaction.rollback()
        await connection.close()
