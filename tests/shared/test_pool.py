"""The pool of connections: each has one user at a time, tasks wait in order, a broken connection is replaced."""

import asyncio

import asyncpg
import pytest

from shared.db.pool import ConnectionPool

WHO = "SELECT pg_backend_pid()"


@pytest.fixture
async def pool(servers):
    made = ConnectionPool(servers.environment["DATABASE_URL"], size=3, timeout=5)
    yield made
    await made.stop()


async def test_one_connection_is_used_again_and_again(pool) -> None:
    assert len({(await pool.run("fetchrow", WHO, []))[0] for _ in range(5)}) == 1


async def test_there_are_never_more_than_its_size_and_each_waiting_task_gets_one(pool) -> None:
    asked = [pool.run("fetch", "SELECT pg_backend_pid(), pg_sleep(0.02)", []) for _ in range(12)]
    assert len({rows[0][0] for rows in await asyncio.gather(*asked)}) == 2


async def test_a_mistake_in_the_sql_costs_no_connection(pool) -> None:
    before = (await pool.run("fetchrow", WHO, []))[0]
    with pytest.raises(asyncpg.UndefinedTableError):
        await pool.run("fetch", "SELECT * FROM nowhere", [])
    assert (await pool.run("fetchrow", WHO, []))[0] == before


async def test_a_connection_that_the_server_ended_is_replaced(pool, servers) -> None:
    ended = (await pool.run("fetchrow", WHO, []))[0]
    observer = await asyncpg.connect(servers.superuser_url)
    await observer.execute("SELECT pg_terminate_backend($1, 5000)", ended)
    await observer.close()
    async with asyncio.timeout(10):
        while True:
            try:
                assert (await pool.run("fetchrow", WHO, []))[0] != ended
                break
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                continue


async def test_a_cancelled_statement_costs_its_connection_and_makes_room(pool) -> None:
    sleepers = [asyncio.create_task(pool.run("fetch", "SELECT pg_sleep(60)", [])) for _ in range(2)]
    waiting = asyncio.create_task(pool.run("fetchrow", WHO, []))
    await _until(lambda: pool._waiting)
    for sleeper in sleepers:
        sleeper.cancel()
    assert (await asyncio.wait_for(waiting, 10))[0] > 0


async def test_a_task_that_stops_waiting_keeps_nobody_from_the_next_connection(pool) -> None:
    sleepers = [asyncio.create_task(pool.run("fetch", "SELECT pg_sleep(0.3)", [])) for _ in range(2)]
    await _until(lambda: len(pool._in_use) == 2)
    impatient, patient = (asyncio.create_task(pool.run("fetchrow", WHO, [])) for _ in range(2))
    await _until(lambda: len(pool._waiting) == 2)
    impatient.cancel()
    assert (await asyncio.wait_for(patient, 10))[0] > 0
    await asyncio.gather(*sleepers)


async def test_waiting_has_an_end(servers) -> None:
    pool = ConnectionPool(servers.environment["DATABASE_URL"], size=1, timeout=0.5)
    long = asyncio.create_task(pool.run("fetch", "SELECT pg_sleep(2)", []))
    await _until(lambda: pool._in_use)
    with pytest.raises(TimeoutError):
        await pool.run("fetchrow", WHO, [])
    await long
    assert (await pool.run("fetchrow", WHO, []))[0] > 0
    await pool.stop()


async def test_a_database_that_is_not_there_leaves_room_for_the_next_try() -> None:
    pool = ConnectionPool("postgresql://nobody@127.0.0.1:9/nothing", size=1, timeout=2)
    for _ in range(3):
        with pytest.raises(OSError):  # noqa: PT011  # any: nothing listens there
            await pool.run("fetchrow", WHO, [])


async def test_connections_that_all_wait_for_a_second_one_get_it_in_turn(pool) -> None:
    """One is kept for tasks that hold another, so that they can't keep each other from it."""
    both = 0

    async def need_two() -> None:
        nonlocal both
        first = await pool.acquire()
        await asyncio.sleep(0)
        second = await pool.acquire(use_reserved=True)
        both += 1
        await second.fetchval("SELECT 1")
        pool.release(second)
        pool.release(first)

    async with asyncio.timeout(4):
        await asyncio.gather(*(need_two() for _ in range(9)))
    assert both == 9
    assert pool.usage() == (3, 3, 0, 0)


async def test_a_second_connection_comes_before_first_ones(pool) -> None:
    held = [await pool.acquire() for _ in range(2)]
    kept = await pool.acquire(use_reserved=True)
    order: list[str] = []

    async def wait(name: str, *, use_reserved: bool) -> None:
        connection = await pool.acquire(use_reserved=use_reserved)
        order.append(name)
        pool.release(connection)

    tasks = [asyncio.create_task(wait("first", use_reserved=False))]
    await _until(lambda: pool._waiting)
    tasks.append(asyncio.create_task(wait("second", use_reserved=True)))
    await _until(lambda: pool._waiting_for_reserved)
    for connection in (*held, kept):
        pool.release(connection)
    await asyncio.gather(*tasks)
    assert order == ["second", "first"]


async def test_a_pool_of_one_has_none_to_keep_and_ends_the_wait(servers) -> None:
    pool = ConnectionPool(servers.environment["DATABASE_URL"], size=1, timeout=0.3)
    first = await pool.acquire()
    with pytest.raises(TimeoutError):
        await pool.acquire(use_reserved=True)
    pool.release(first)
    assert (await pool.run("fetchrow", WHO, []))[0] > 0
    await pool.stop()


async def test_renewed_connections_are_replaced_when_they_are_released(pool) -> None:
    idle, used = await pool.acquire(), await pool.acquire()
    pool.release(idle)
    pool.renew()
    assert idle.is_closed()
    assert not used.is_closed()
    pool.release(used)
    assert used.is_closed()
    assert (await pool.run("fetchrow", WHO, []))[0] > 0


async def _until(holds) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.001)
