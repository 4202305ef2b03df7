"""One lock order, the account first: concurrent operations on one account wait for each other and never fail."""

import asyncio
import random
from datetime import timedelta

import asyncpg
import pytest

from domains.auth.models import EndReason
from shared.db.transaction import TransactionMisusedError
from shared.errors import DatabaseBusy
from shared.ids import new_id
from tools.faults.people import PASSWORD, some_email

NEXT_PASSWORD = "another long enough password"
SAME_BYTES = b"the same bytes for everybody"
_OF_A_FILE = [("DELETE", ""), ("POST", "/restore"), ("DELETE", "")]


async def _verification_tokens(client, inbox, email, count):
    for _ in range(count):
        await client.post("/v1/auth/register", json={"email": email, "password": PASSWORD})
    return [mail.token for mail in await inbox.of(email)]


@pytest.mark.parametrize("attempt", range(4))
async def test_of_four_links_followed_at_once_one_verifies(attempt, client, inbox, rows):
    email = some_email()
    tokens = await _verification_tokens(client, inbox, email, 4)
    answers = await asyncio.gather(
        *(client.post("/v1/auth/email/verify", json={"token": token}) for token in tokens)
    )
    assert sorted(answer.status_code for answer in answers) == [204, 400, 400, 400]
    (user,) = await rows("SELECT id, email_verified_at FROM users.users WHERE email = $1", email)
    assert user["email_verified_at"] is not None
    assert await rows("SELECT 1 FROM auth.accounts WHERE user_id = $1 AND status = 'active'", user["id"])


class _Account:
    """Everything that can be done to one account, by its person, by strangers who know the address, and by others."""

    def __init__(self, client, admin, person, file, verify, reset):
        self.client, self.admin, self.person, self.file = client, admin, person, file
        self.verify, self.reset = verify, reset

    def operations(self):
        return [
            *(self._post("/v1/auth/email/verify", {"token": token}) for token in self.verify),
            *(
                self._post("/v1/auth/password/reset", {"token": token, "password": NEXT_PASSWORD})
                for token in self.reset
            ),
            self._post("/v1/auth/register", {"email": self.person.email, "password": PASSWORD}),
            self._post("/v1/auth/email/verify/resend", {"email": self.person.email}),
            self._post("/v1/auth/password/forgot", {"email": self.person.email}),
            self._as_person("POST", "/v1/auth/password/change", json=self._change()),
            *(self._sign_in() for _ in range(8)),
            *(self._refresh() for _ in range(8)),
            *(
                self._as_person("POST", f"/v1/auth/logout?scope={scope}")
                for scope in ("this", "others", "all")
            ),
            self._as_person("DELETE", f"/v1/auth/sessions/{self.person.session_id}"),
            *(self._as_person("PATCH", "/v1/users/me", json={"name": f"Ada {n}"}) for n in range(8)),
            *(self._upload(keyed=n % 2 == 0) for n in range(10)),
            *(self._as_person(method, f"/v1/files/{self.file}{path}") for method, path in _OF_A_FILE),
            *(self._by_admin(action) for action in ("disable", "enable", "disable", "enable")),
            self._as_person("DELETE", "/v1/users/me", json={"password": self.person.password}),
        ]

    def _change(self):
        return {"current_password": self.person.password, "new_password": NEXT_PASSWORD}

    async def _post(self, path, body):
        return await self.client.post(path, json=body)

    async def _as_person(self, method, path, **more):
        return await self.client.request(method, path, headers=self.person.headers, **more)

    async def _by_admin(self, action):
        path = f"/v1/users/{self.person.id}/{action}"
        return await self.client.post(path, headers=self.admin.headers)

    async def _sign_in(self):
        form = {
            "grant_type": "password",
            "username": self.person.email,
            "password": self.person.password,
        }
        return await self.client.post("/v1/auth/token", data=form)

    async def _refresh(self):
        form = {"grant_type": "refresh_token", "refresh_token": self.person.refresh_token}
        return await self.client.post("/v1/auth/token", data=form)

    async def _upload(self, *, keyed):
        keys = {"Idempotency-Key": new_id().hex} if keyed else {}
        files = {"file": ("a.txt", SAME_BYTES, "text/plain")}
        return await self.client.post("/v1/files", files=files, headers={**self.person.headers, **keys})


async def _account_of(client, admin, people, inbox, *, is_verified):
    person = await people.register()
    if is_verified:
        token = (await inbox.last(person.email)).token
        await client.post("/v1/auth/email/verify", json={"token": token})
        person = await people.sign_in(person.email)
    files = {"file": ("a.txt", SAME_BYTES, "text/plain")}
    file = (await client.post("/v1/files", files=files, headers=person.headers)).json()
    for _ in range(2):
        await client.post("/v1/auth/register", json={"email": person.email, "password": PASSWORD})
    await client.post("/v1/auth/password/forgot", json={"email": person.email})
    mails = await inbox.of(person.email)
    # The link that has verified is used.
    verify = [mail.token for mail in mails if "verify-email" in mail.link][is_verified:]
    reset = [mail.token for mail in mails if "reset-password" in mail.link]
    return _Account(client, admin, person, file["id"], verify, reset)


@pytest.mark.parametrize("is_verified", [False, True], ids=["unverified", "verified"])
@pytest.mark.parametrize("accounts", [1, 3], ids=["one_account", "several_accounts"])
async def test_many_operations_at_once_end_without_deadlock_and_leave_a_consistent_state(
    accounts, is_verified, client, admin, people, inbox, work_off, rows, composition, monkeypatch
):
    busy = _noted_deadlocks(monkeypatch)
    crowd = [
        await _account_of(client, admin, people, inbox, is_verified=is_verified) for _ in range(accounts)
    ]
    cleaning = composition.files.cleaning()
    for seed in range(3 if accounts == 1 else 1):
        operations = [operation for account in crowd for operation in account.operations()]
        random.Random(seed).shuffle(operations)
        assert len(operations) >= 50 * accounts
        removals = [cleaning.delete(account.file) for account in crowd]
        answers = await asyncio.gather(*operations, work_off(), cleaning.sweep(), *removals)
        statuses = {answer.status_code: answer for answer in answers[: len(operations)]}
        assert not [answer.text for status, answer in statuses.items() if status >= 500]
    await work_off()
    assert busy == []
    for account in crowd:
        await _assert_consistent(rows, account.person)


async def _assert_consistent(rows, person):
    """Every user has one account, no session lives in one that is closed, and each owner of anything is there."""
    (counted,) = await rows(
        """SELECT count(*) FILTER (WHERE accounts.user_id IS NULL) AS without_account FROM users.users
           LEFT JOIN auth.accounts ON accounts.user_id = users.id WHERE users.email = $1""",
        person.email,
    )
    assert counted["without_account"] == 0
    living = await rows(
        """SELECT 1 FROM auth.sessions JOIN auth.accounts USING (user_id)
           WHERE user_id = $1 AND ended_at IS NULL AND status <> 'active'""",
        person.id,
    )
    assert living == []
    if not await rows("SELECT 1 FROM auth.accounts WHERE user_id = $1", person.id):
        for table in ("files.files", "files.usage", "files.texts", "jobs.jobs", "emails.emails"):
            assert await rows(f"SELECT 1 FROM {table} WHERE owner_id = $1", person.id) == [], table
    usage = await rows(
        """SELECT usage.count, usage.bytes, usage.reserved, count(files.id) AS files,
                  coalesce(sum(files.size), 0) AS size
           FROM files.usage LEFT JOIN files.files USING (owner_id) WHERE owner_id = $1 GROUP BY 1, 2, 3""",
        person.id,
    )
    assert all(
        (row["files"], row["size"], 0) == (row["count"], row["bytes"], row["reserved"]) for row in usage
    )


def _noted_deadlocks(monkeypatch):
    """Note what PostgreSQL gave up because of another transaction, whatever became of it."""
    noted, init = [], DatabaseBusy.__init__

    def note(error):
        noted.append(error)
        init(error)

    monkeypatch.setattr(DatabaseBusy, "__init__", note)
    return noted


async def test_an_account_is_never_locked_after_anything_else(composition, user):
    auth, database = composition.auth, composition.database()
    now = composition.clock().now()
    with pytest.raises(TransactionMisusedError):
        async with database.transaction():
            await auth.account_repository().find(user.id)
            await auth.account_repository().lock(user.id)
    with pytest.raises(TransactionMisusedError):
        async with database.transaction():
            await auth.session_repository().end_all(user.id, EndReason.REVOKED, now)


async def test_a_sweep_waits_for_no_lock(composition, user, rows, servers):
    long_ago = composition.clock().now() + timedelta(days=400)
    other = await asyncpg.connect(servers.environment["TULOU_DATABASE_OWNER_URL"])
    transaction = other.transaction()
    await transaction.start()
    try:
        for table in ("sessions", "registrations"):
            await other.execute(f"SELECT 1 FROM auth.{table} WHERE user_id = $1 FOR UPDATE", user.id)
        await other.execute("SELECT 1 FROM auth.attempts FOR UPDATE")
        async with asyncio.timeout(5), composition.database().transaction():
            sessions, accounts = composition.auth.session_repository(), composition.auth.account_repository()
            await sessions.sweep_ended(long_ago)
            await sessions.sweep_expired(long_ago)
            await accounts.sweep_tokens(long_ago)
            await accounts.sweep_registrations(long_ago)
            await composition.auth.attempt_repository().sweep(long_ago)
    finally:
        await transaction.rollback()
        await other.close()
    assert await rows("SELECT 1 FROM auth.sessions WHERE user_id = $1", user.id)
