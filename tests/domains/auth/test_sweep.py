"""Accounts whose address was never verified are deleted in time, and no others."""

from datetime import timedelta

import pytest

from domains.auth.job_types import CLOSE_UNVERIFIED
from domains.auth.settings import AuthSettings
from shared.audit import Actor
from tests.wire import recorded_statements


@pytest.fixture
def aged(rows):
    """Let an account have been registered, its sessions used, and the upgrade made, so many days ago."""

    async def age(person, *, registered, used, upgraded=None):
        await rows(
            "UPDATE users.users SET created_at = created_at - $2::interval,"
            " unverified_since = unverified_since - $3::interval WHERE id = $1",
            person.id,
            timedelta(days=registered),
            timedelta(days=registered if upgraded is None else upgraded),
        )
        await rows(
            "UPDATE auth.sessions SET last_used_at = last_used_at - $2::interval WHERE user_id = $1",
            person.id,
            timedelta(days=used),
        )

    return age


async def test_an_account_that_was_never_verified_is_deleted_after_thirty_days(
    client, people, user, other, verified, admin, aged, composition, work_off, rows, sign_in
):
    in_use, disabled = await people.register(), await people.register()
    await client.post(f"/v1/users/{disabled.id}/disable", headers=admin.headers)
    files = {"file": ("a.txt", b"stored before the address was verified", "text/plain")}
    assert (await client.post("/v1/files", files=files, headers=user.headers)).status_code == 201
    await aged(user, registered=31, used=31)
    await aged(other, registered=29, used=29)
    await aged(in_use, registered=31, used=2)
    await aged(verified, registered=400, used=400)
    await aged(disabled, registered=31, used=31)

    await composition.auth.housekeeping().close_unverified()
    await work_off()

    there = {row["id"] for row in await rows("SELECT id FROM users.users")}
    assert user.id not in there
    assert {other.id, in_use.id, verified.id, disabled.id} <= there
    for table in ("files.files", "files.usage", "files.texts"):
        assert await rows(f"SELECT 1 FROM {table} WHERE owner_id = $1", user.id) == []
    assert await rows("SELECT 1 FROM auth.registrations WHERE user_id = $1", user.id) == []
    assert await rows("SELECT 1 FROM auth.accounts WHERE user_id = $1", user.id) == []
    audit_log = await rows(
        "SELECT details->>'reason' AS reason FROM auth.security_events WHERE user_id = $1"
        " AND event = 'account_deleted'",
        user.id,
    )
    assert [row["reason"] for row in audit_log] == ["never verified"]
    assert (await people.register(email=user.email)).id != user.id
    assert (await sign_in(in_use.email, in_use.password)).status_code == 200


async def test_unverified_accounts_are_swept_by_the_clock(user, composition, aged, work_off, rows):
    assert CLOSE_UNVERIFIED.schedule is not None
    await aged(user, registered=31, used=31)
    await composition.jobs.operations().run(CLOSE_UNVERIFIED.kind, {}, Actor(operator="tests"))
    await work_off()
    assert await rows("SELECT 1 FROM users.users WHERE id = $1", user.id) == []


async def test_an_account_that_was_there_before_the_upgrade_has_thirty_days_from_then(
    user, other, composition, aged, work_off, rows
):
    await aged(user, registered=400, used=400, upgraded=29)
    await aged(other, registered=400, used=400, upgraded=31)
    await composition.auth.housekeeping().close_unverified()
    await work_off()
    assert await rows("SELECT 1 FROM users.users WHERE id = $1", user.id)
    assert await rows("SELECT 1 FROM users.users WHERE id = $1", other.id) == []


async def test_no_account_is_closed_where_the_days_are_zero(user, composition, aged, rows, monkeypatch):
    await aged(user, registered=400, used=400)
    housekeeping = composition.auth.housekeeping()
    settings = AuthSettings.model_validate({"auth_keep_unverified_days": 0})
    monkeypatch.setattr(housekeeping, "settings", settings)
    await housekeeping.close_unverified()
    assert await rows("SELECT 1 FROM auth.accounts WHERE user_id = $1 AND status = 'active'", user.id)


async def test_accounts_that_stay_are_not_locked(client, people, user, admin, composition, aged, work_off):
    disabled = await people.register()
    await client.post(f"/v1/users/{disabled.id}/disable", headers=admin.headers)
    await aged(user, registered=31, used=2)
    await aged(disabled, registered=31, used=31)
    await composition.auth.housekeeping().close_unverified()  # of other tests
    await work_off()
    with recorded_statements(composition.database()) as sent:
        await composition.auth.housekeeping().close_unverified()
    assert sent
    assert not [sql for sql in sent if "FOR UPDATE" in sql]


async def test_an_account_that_comes_into_use_after_it_was_listed_stays(
    user, composition, aged, work_off, rows, monkeypatch
):
    await aged(user, registered=31, used=31)
    accounts = composition.auth.housekeeping().accounts
    find_unused = accounts.find_unused

    async def then_used(user_ids, before):
        found = await find_unused(user_ids, before)
        await rows("UPDATE auth.sessions SET last_used_at = now() WHERE user_id = $1", user.id)
        return found

    monkeypatch.setattr(accounts, "find_unused", then_used)
    await composition.auth.housekeeping().close_unverified()
    await work_off()
    assert await rows("SELECT 1 FROM users.users WHERE id = $1", user.id)
