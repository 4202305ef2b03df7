"""`tulou users`, `tulou limits` and `tulou mails`, run as operators type them."""

import asyncio
import getpass
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from bootstrap.cli import options
from bootstrap.cli.main import app as tulou
from domains.auth.service.administration import AdministrationService
from domains.emails.public import OutgoingMail
from shared.audit import Actor
from tests.bootstrap.test_commands import run
from tests.domains.emails.test_resolving import end_job_of
from tests.domains.emails.test_stored_mails import break_after_the_dot, stored
from tests.mails import mails_to
from tools.faults.people import PASSWORD, Person, some_email


@pytest.fixture
def command(settings, app, monkeypatch) -> Callable[..., Awaitable[Result]]:
    """Run a command in this process."""
    monkeypatch.setattr(options, "command_settings", lambda: settings)
    monkeypatch.setenv("COLUMNS", "250")

    async def run_it(*arguments: str, answer: str = "") -> Result:
        result = await asyncio.to_thread(CliRunner().invoke, tulou, arguments, input=answer)
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result

    return run_it


@pytest.fixture
def done(command) -> Callable[..., Awaitable[Any]]:
    """Run a command that must succeed, and return what its JSON says."""

    async def run_it(*arguments: str) -> Any:
        result = await command(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return run_it


@pytest.fixture
async def verified(client, people, composition) -> Person:
    """Somebody with a verified address, who is no administrator."""
    person = await people.administrator()
    owner = composition.settings().database_owner_url.get_secret_value()
    connection = await asyncpg.connect(owner)
    await connection.execute("UPDATE auth.accounts SET role = 'user' WHERE user_id = $1", person.id)
    await connection.close()
    return person


@pytest.fixture
def acts(settings) -> Callable[..., Awaitable[list[str]]]:
    """Return what the audit log says that the operator of these tests did to a person."""

    async def read(user_id) -> list[str]:
        connection = await asyncpg.connect(settings.database_owner_url.get_secret_value())
        try:
            found = await connection.fetch(
                "SELECT event FROM auth.security_events WHERE user_id = $1 AND details->>'operator' = $2"
                " ORDER BY id",
                user_id,
                f"{getpass.getuser()}@{socket.gethostname()}",
            )
        finally:
            await connection.close()
        return [row["event"] for row in found]

    return read


async def test_a_person_is_helped_from_the_command_line(
    client, done, command, verified, people, acts, work_off, servers
) -> None:
    email = verified.email
    shown = await done("users", "show", email.upper())
    assert (shown["id"], shown["status"], shown["role"]) == (str(verified.id), "active", "user")
    assert (shown["sessions"], shown["files"], shown["own_limit_bytes"]) == (1, 0, None)
    assert (await done("users", "disable", email))["status"] == "disabled"
    assert (await client.get("/v1/users/me", headers=verified.headers)).status_code == 401
    refused = await command("users", "send-reset", email)
    assert (refused.exit_code, refused.stderr) == (5, "This account is disabled. Enable it first.\n")
    assert (await done("users", "enable", str(verified.id)))["status"] == "active"
    assert (await done("users", "set-role", email, "admin"))["role"] == "admin"
    again = await people.sign_in(email)
    assert (await client.get("/v1/users", headers=again.headers)).status_code == 200
    await done("users", "end-sessions", email)
    assert (await client.get("/v1/users/me", headers=again.headers)).status_code == 401
    await done("users", "send-reset", email)
    await work_off()
    assert [mail["Subject"] for mail in mails_to(servers.mails, email)] == ["Choose a new password"]
    assert await acts(verified.id) == [
        "account_disabled",
        "account_enabled",
        "role_changed",
        "session_revoked",
        "password_reset_requested",
    ]


async def test_an_address_is_changed_and_the_one_before_is_told(
    client, done, command, verified, people, acts, work_off, servers, sign_in_status
) -> None:
    new = some_email()
    before = verified.email
    body = await done("users", "set-email", before, new)
    assert (body["email"], body["email_verified"]) == (new, True)
    assert (await client.get("/v1/users/me", headers=verified.headers)).status_code == 401
    assert await sign_in_status(before) == 400
    assert (await people.sign_in(new)).id == verified.id
    await work_off()
    assert "another address" in [mail["Subject"] for mail in mails_to(servers.mails, before)][-1]
    assert await acts(verified.id) == ["address_changed"]
    other = await people.register()
    taken = await command("users", "set-email", new, other.email)
    assert (taken.exit_code, taken.stderr) == (5, "Another account uses this address.\n")
    odd = await command("users", "set-email", new, "no address")
    assert odd.exit_code == 5


@pytest.fixture
def held(app, composition) -> Callable[[str], Awaitable[UUID]]:
    """Make a mail whose fate nobody knows; return its id."""

    async def make(address: str) -> UUID:
        mailer = composition.emails.mailer()
        mail = OutgoingMail(template="auth/address_changed", to=address, variables={"name": None})
        email_id = await mailer.send(mailer.prepare(mail))
        await break_after_the_dot(composition, email_id)
        await end_job_of(composition, email_id)
        return email_id

    return make


@pytest.fixture
def sign_in_status(client) -> Callable[[str], Awaitable[int]]:
    async def ask(email: str) -> int:
        form = {"grant_type": "password", "username": email, "password": PASSWORD}
        return (await client.post("/v1/auth/token", data=form)).status_code

    return ask


async def test_an_unverified_address_that_is_changed_stays_unverified(done, people) -> None:
    person = await people.register()
    body = await done("users", "set-email", person.email, some_email())
    assert body["email_verified"] is False


async def test_erasing_asks_before(client, command, done, people, acts, work_off) -> None:
    person = await people.register()
    unanswered = await command("users", "erase", person.email, answer="n\n")
    assert unanswered.exit_code == 1
    assert f"Erase {person.email} ({person.id})" in unanswered.stderr
    assert (await client.get("/v1/users/me", headers=person.headers)).status_code == 200
    await done("users", "disable", person.email)
    agreed = await command("users", "erase", person.email, answer="y\n")
    assert (agreed.exit_code, agreed.stdout.splitlines()[-1]) == (0, f"{person.email} is being erased.")
    await work_off()
    gone = await command("users", "erase", str(person.id), "--yes")
    assert (gone.exit_code, gone.stderr) == (3, f"No person has the id or address {person.id}.\n")
    assert await acts(person.id) == ["account_disabled", "account_deleted"]


async def test_who_is_being_erased_is_shown(command, done, people, work_off) -> None:
    person = await people.register()
    assert (await done("users", "erase", person.email, "--yes"))["status"] == "deleting"
    assert (await done("users", "show", str(person.id)))["status"] == "deleting"
    await work_off()
    assert (await command("users", "show", str(person.id))).exit_code == 3


async def test_an_erasure_that_a_worker_has_done_already_succeeds(
    done, people, settings, monkeypatch
) -> None:
    person = await people.register()
    real = AdministrationService.erase

    async def erase_at_once(self: AdministrationService, actor: Actor, user_id: UUID) -> None:
        await real(self, actor, user_id)
        owner = await asyncpg.connect(settings.database_owner_url.get_secret_value())
        await owner.execute("DELETE FROM users.users WHERE id = $1", user_id)
        await owner.close()

    monkeypatch.setattr(AdministrationService, "erase", erase_at_once)
    erased = await done("users", "erase", str(person.id), "--yes")
    assert (erased["email"], erased["status"]) == (person.email, "deleting")


async def test_an_address_may_have_braces(command, people) -> None:
    person, new = await people.register(), f"{{0}}{{any}}{some_email()}"
    result = await command("users", "set-email", person.email, new)
    assert (result.exit_code, result.stdout) == (0, f"{person.email} has the address {new} now.\n")


async def test_people_are_listed_and_found(done, command, people) -> None:
    person = await people.register()
    part = person.email[:20]
    (found,) = await done("users", "list", "--search", part)
    assert (found["email"], found["last_sign_in_at"] is not None) == (person.email, True)
    assert await done("users", "list", "--search", part, "--verified") == []
    table = (await command("users", "list", "--search", part)).stdout
    for cell in (str(person.id), person.email, "active", "user"):
        assert cell in table
    assert (await command("users", "list", "--search", uuid4().hex)).stdout == "No person matches.\n"
    unclear = await command("users", "disable", part)
    assert unclear.exit_code == 4
    assert unclear.stderr == f"{part} is neither an id nor an address. It is a part of: {person.email}.\n"


@pytest.mark.parametrize("person", ["0199e0d6-0000-7000-8000-000000000000", "nobody@example.com", "nobody"])
@pytest.mark.parametrize(
    "act", [("users", "show"), ("users", "enable"), ("limits", "clear"), ("limits", "list")]
)
async def test_nobody_is_a_sentence_and_a_code(command, act, person: str) -> None:
    result = await command(*act, person)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == f"No person has the id or address {person}.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("users", "show"),
        ("users", "set-role", "a@example.com", "king"),
        ("users", "list", "--limit", "0"),
        ("limits", "set", "a@example.com", "--bytes", "-1"),
        ("mails", "list", "--status", "lost"),
        ("mails", "resolve", "x"),
    ],
)
async def test_a_mistyped_command_is_explained(command, arguments: tuple[str, ...]) -> None:
    result = await command(*arguments)
    assert result.exit_code == 2
    assert result.stderr


async def test_who_is_locked_out_is_let_in(client, done, command, people, acts, sign_in_status) -> None:
    person = await people.register()
    wrong = {"grant_type": "password", "username": person.email, "password": "wrong"}
    for _ in range(11):
        await client.post("/v1/auth/token", data=wrong)
    assert await sign_in_status(person.email) == 429
    shown = await done("limits", "list", person.email)
    (counter,) = [each for each in shown["counters"] if each["kind"] == "login_pair"]
    assert (counter["most"], counter["count"] > 10) == (10, True)
    assert "login_pair" in (await command("limits", "list", person.email)).stdout
    await done("limits", "clear", person.email)
    assert await sign_in_status(person.email) == 200
    assert (await done("limits", "list", person.email))["counters"] == []
    assert await acts(person.id) == ["limits_cleared"]


async def test_somebody_gets_limits_of_their_own(client, admin, done, command, people, acts) -> None:
    person = await people.register()
    await done("limits", "set", person.email, "--bytes", "12", "--requests", "9000")
    limits = (await client.get(f"/v1/users/{person.id}/limits", headers=admin.headers)).json()
    assert limits == {"max_bytes": 12, "max_files": None, "max_requests": 9000}
    assert str(person.id) in (await command("limits", "list")).stdout
    assert (await done("users", "show", person.email))["quota_bytes"] == 12
    await done("limits", "set", person.email)
    assert str(person.id) not in (await command("limits", "list")).stdout
    assert await acts(person.id) == ["limits_changed", "limits_changed"]


async def test_an_uncertain_mail_is_resolved(command, done, composition, held) -> None:
    address = some_email()
    email_id = await held(address)
    (listed,) = await done("mails", "list", "--recipient", address, "--status", "uncertain")
    assert listed["id"] == str(email_id)
    assert str(email_id) in (await command("mails", "list", "--recipient", address)).stdout
    unanswered = await command("mails", "resolve", address, "--as", "failed", answer="n\n")
    assert unanswered.exit_code == 1
    assert (await stored(composition, email_id)).status == "uncertain"
    done_now = await command("mails", "resolve", address, "--as", "failed", "--yes")
    assert (done_now.exit_code, done_now.stdout) == (0, f"Mail {email_id} to {address} is failed.\n")
    again = await command("mails", "resolve", str(email_id), "--as", "sent", "--yes")
    assert (again.exit_code, "This mail can't be resolved" in again.stderr) == (5, True)
    none = await command("mails", "resolve", address, "--as", "sent", "--yes")
    assert (none.exit_code, none.stderr) == (3, f"No uncertain mail went to {address}.\n")
    unknown = await command("mails", "resolve", "12", "--as", "sent", "--yes")
    assert (unknown.exit_code, unknown.stderr) == (3, "No mail has the id 12.\n")


async def test_one_of_several_uncertain_mails_has_to_be_named(command, held) -> None:
    address = some_email()
    ids = {str(await held(address)) for _ in range(2)}
    result = await command("mails", "resolve", address, "--as", "sent", "--yes")
    assert result.exit_code == 4
    assert all(each in result.stderr for each in ids)
    assert (await command("mails", "resolve", ids.pop(), "--as", "sent", "--yes")).exit_code == 0


async def test_the_mails_of_a_person_are_listed(done, people, work_off) -> None:
    person = await people.register()
    await work_off()
    (mail,) = await done("mails", "list", "--person", person.email)
    assert mail["recipient"] == person.email


async def test_who_made_an_administrator_and_who_touched_jobs_is_in_the_audit_log(
    composition, settings, servers, people, acts, done
) -> None:
    person = await people.register()
    payload = json.dumps({"user_id": str(person.id), "owner_id": str(person.id)})
    made = await asyncio.to_thread(
        run, servers, "jobs", "run", "auth.tell_password_changed", "--payload", payload, "--json"
    )
    job_id = json.loads(made.stdout)[0]["id"]
    for order in ("cancel", "retry", "cancel"):
        assert (await asyncio.to_thread(run, servers, "jobs", order, job_id)).returncode == 0
    assert await acts(person.id) == ["job_run", "job_cancelled", "job_retried", "job_cancelled"]
    email = some_email()
    password = {"TULOU_ADMIN_PASSWORD": "a fine long secret 1"}
    await asyncio.to_thread(run, servers, "create-admin", "--email", email, **password)
    assert await acts(UUID((await done("users", "show", email))["id"])) == ["admin_created"]


async def test_an_operator_may_give_a_name(people, servers, settings) -> None:
    person = await people.register()
    names = {"TULOU_OPERATOR": " Ada\u202e Lovelace\n "}
    result = await asyncio.to_thread(run, servers, "users", "disable", person.email, **names)
    assert result.returncode == 0, result.stderr
    connection = await asyncpg.connect(settings.database_owner_url.get_secret_value())
    told = await connection.fetchval(
        "SELECT details->>'operator' FROM auth.security_events WHERE user_id = $1 AND event = 'account_disabled'",
        person.id,
    )
    await connection.close()
    assert told == f"Ada Lovelace as {getpass.getuser()}@{socket.gethostname()}"


def test_the_commands_work_as_processes_of_their_own(servers, settings) -> None:
    listed = run(servers, "users", "list", "--json", "--limit", "1")
    assert listed.returncode == 0, listed.stderr
    json.loads(listed.stdout)
    away = run(servers, "users", "list", DATABASE_URL="postgresql://nobody:x@127.0.0.1:9/x")
    assert away.returncode == 1
    assert "nothing listens there" in away.stderr
    assert "Traceback" not in away.stderr
