"""A statement that PostgreSQL aborts because of another transaction becomes a 503 with a code."""

import asyncio
import secrets
from contextvars import Context

import pytest
from sqlalchemy import bindparam, select
from sqlmodel import col

from domains.users.models import User
from shared.db.database import Database
from shared.db.statement import Nothing, Statement
from shared.db.transaction import require_transaction
from shared.errors import DatabaseBusy

CONDITIONS = ["deadlock_detected", "serialization_failure", "lock_not_available"]
LOCK = Statement(select(col(User.id)).where(col(User.id) == bindparam("user")).with_for_update(), Nothing)
NOWAIT = Statement(
    select(col(User.id)).where(col(User.id) == bindparam("user")).with_for_update(nowait=True), Nothing
)


@pytest.fixture
def database(app, composition) -> Database:
    return composition.database()


@pytest.mark.parametrize("keyed", [False, True], ids=["plain", "with_a_key"])
@pytest.mark.parametrize("condition", CONDITIONS)
async def test_a_request_that_is_given_up_is_asked_to_come_back(
    condition, keyed, client, user, composition, monkeypatch
):
    async def given_up(_user_id):
        connection = await require_transaction().connection()
        await connection.execute(f"DO $$ BEGIN RAISE {condition}; END $$")

    key = {"Idempotency-Key": secrets.token_hex(8)} if keyed else {}
    headers = {**user.headers, **key}
    with monkeypatch.context() as patch:
        patch.setattr(composition.users.service().repository, "lock", given_up)
        answer = await client.patch("/v1/users/me", json={"name": "Ada"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (503, "database_busy")
    assert answer.headers["Retry-After"] == "2"
    again = await client.patch("/v1/users/me", json={"name": "Ada"}, headers=headers)
    assert (again.status_code, again.json()["name"]) == (200, "Ada")


async def test_of_two_transactions_that_wait_for_each_other_one_goes_on(database, user, other):
    both_hold = asyncio.Barrier(2)

    async def lock_both(first, second):
        async with database.transaction():
            await database.fetch_one(LOCK, user=first)
            await both_hold.wait()
            await database.fetch_one(LOCK, user=second)

    ends = await asyncio.gather(
        lock_both(user.id, other.id), lock_both(other.id, user.id), return_exceptions=True
    )
    assert sorted(type(end).__name__ for end in ends) == ["DatabaseBusy", "NoneType"]


async def test_a_statement_outside_of_transactions_that_may_not_wait_is_busy_too(database, user):
    async with database.transaction():
        await database.fetch_one(LOCK, user=user.id)
        with pytest.raises(DatabaseBusy):
            await asyncio.create_task(database.fetch_one(NOWAIT, user=user.id), context=Context())
