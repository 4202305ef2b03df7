"""Connections for single statements: lent one at a time, in line, and never again once they are broken."""

import asyncio

import asyncpg
import pytest

from shared.db.pool import Readers

WHO = "SELECT pg_backend_pid()"


@pytest.fixture
async def readers(servers):
    made = Readers(servers.environment["DATABASE_URL"], size=2, timeout=5)
    yield made
    await made.stop()


async def test_one_connection_is_used_again_and_again(readers) -> None:
    assert len({(await readers.run("fetchrow", WHO, []))[0] for _ in range(5)}) == 1


async def test_there_are_never_more_than_its_size_and_who_waits_gets_one(readers) -> None:
    asked = [readers.run("fetch", "SELECT pg_backend_pid(), pg_sleep(0.02)", []) for _ in range(12)]
    assert len({rows[0][0] for rows in await asyncio.gather(*asked)}) == 2


async def test_a_mistake_in_the_sql_costs_no_connection(readers) -> None:
    before = (await readers.run("fetchrow", WHO, []))[0]
    with pytest.raises(asyncpg.UndefinedTableError):
        await readers.run("fetch", "SELECT * FROM nowhere", [])
    assert (await readers.run("fetchrow", WHO, []))[0] == before


async def test_a_connection_that_the_server_ended_is_replaced(readers, servers) -> None:
    ended = (await readers.run("fetchrow", WHO, []))[0]
    observer = await asyncpg.connect(servers.superuser_url)
    await observer.execute("SELECT pg_terminate_backend($1, 5000)", ended)
    await observer.close()
    async with asyncio.timeout(10):
        while True:
            try:
                assert (await readers.run("fetchrow", WHO, []))[0] != ended
                break
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                continue


async def test_who_goes_away_takes_its_connection_along_and_makes_room(readers) -> None:
    sleepers = [asyncio.create_task(readers.run("fetch", "SELECT pg_sleep(60)", [])) for _ in range(2)]
    waiting = asyncio.create_task(readers.run("fetchrow", WHO, []))
    await _until(lambda: readers._waiting)
    for sleeper in sleepers:
        sleeper.cancel()
    assert (await asyncio.wait_for(waiting, 10))[0] > 0


async def test_who_stops_waiting_leaves_the_line_in_order(readers) -> None:
    sleepers = [asyncio.create_task(readers.run("fetch", "SELECT pg_sleep(0.3)", [])) for _ in range(2)]
    await _until(lambda: len(readers._used) == 2)
    impatient, patient = (asyncio.create_task(readers.run("fetchrow", WHO, [])) for _ in range(2))
    await _until(lambda: len(readers._waiting) == 2)
    impatient.cancel()
    assert (await asyncio.wait_for(patient, 10))[0] > 0
    await asyncio.gather(*sleepers)


async def test_waiting_has_an_end(servers) -> None:
    readers = Readers(servers.environment["DATABASE_URL"], size=1, timeout=0.5)
    long = asyncio.create_task(readers.run("fetch", "SELECT pg_sleep(2)", []))
    await _until(lambda: readers._used)
    with pytest.raises(TimeoutError):
        await readers.run("fetchrow", WHO, [])
    await long
    assert (await readers.run("fetchrow", WHO, []))[0] > 0
    await readers.stop()


async def test_a_database_that_is_not_there_leaves_room_for_the_next_try() -> None:
    readers = Readers("postgresql://nobody@127.0.0.1:9/nothing", size=1, timeout=2)
    for _ in range(3):
        with pytest.raises(OSError):  # noqa: PT011  # any: nothing listens there
            await readers.run("fetchrow", WHO, [])


async def _until(holds) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.001)
