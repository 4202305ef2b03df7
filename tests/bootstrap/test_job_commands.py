"""`tulou jobs` and `tulou workers`, first as commands beside a running worker, then within this process."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from secrets import token_hex
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest
from click.testing import Result
from typer.testing import CliRunner

from bootstrap.cli import program
from bootstrap.cli.main import app as tulou
from domains.emails.service.mailer import delivery_of
from domains.jobs.commands.app import Status
from domains.jobs.schemas import JobStatus
from shared.cli.options import parse_duration
from tests.bootstrap.test_commands import run
from tests.domains.jobs.seeing import look
from tests.domains.jobs.test_operations import FAILED, put
from tests.programs import Program

UNHURRIED = {
    "TULOU_EMAILS_TIMEOUT_SECONDS": "60",
    "TULOU_JOBS_CANCEL_GRACE": "0",
    "TULOU_WORKER_SOFT_SHUTDOWN": "6",
}


@pytest.fixture
def word() -> str:
    """A name that nobody else has: for a queue or a kind."""
    return f"tests-{token_hex(6)}"


@pytest.fixture
def typed(servers, app) -> Callable[..., Any]:
    """Run a command as a process of its own, and return what its JSON says."""

    def run_it(*arguments: str) -> Any:
        result = run(servers, *arguments, "--json")
        assert result.returncode == 0, result.stdout + result.stderr
        return json.loads(result.stdout)

    return run_it


@pytest.fixture
def command(settings, app, monkeypatch) -> Callable[..., Awaitable[Result]]:
    """Run a command in this process, which is quicker."""
    monkeypatch.setattr(program, "command_settings", lambda *_: settings)
    monkeypatch.setenv("COLUMNS", "200")

    async def run_it(*arguments: str) -> Result:
        result = await asyncio.to_thread(CliRunner().invoke, tulou, arguments)
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result

    return run_it


@pytest.fixture
def silent_mail_server() -> Iterator[str]:
    """A mail server that takes every call and says nothing: whoever talks to it is busy until it loses patience."""
    listener = socket.create_server(("127.0.0.1", 0))
    calls: list[socket.socket] = []

    def take_calls() -> None:
        while True:
            try:
                calls.append(listener.accept()[0])
            except OSError:
                return

    thread = threading.Thread(target=take_calls, daemon=True)
    thread.start()
    yield f"smtp://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for call in calls:
        call.close()
    thread.join(5)


async def until_it_is(composition, job_id: UUID, status: str) -> None:
    limit = time.monotonic() + 20
    while (now := (await look(composition, job_id)).status) != status:
        assert time.monotonic() < limit, now
        time.sleep(0.05)  # noqa: ASYNC251  # nothing else happens on this loop


async def until_a_line_of(command, worker_id: str, state: str) -> None:
    """Wait until `tulou workers` shows this worker so."""
    limit = time.monotonic() + 10
    while True:
        lines = (await command("workers")).stdout.splitlines()
        (line,) = [line for line in lines if f" {worker_id} " in line]
        if f" {state} " in line:
            return
        assert time.monotonic() < limit, line


async def accept_mail(composition) -> UUID:
    """Accept a mail; return its job."""
    from domains.emails.models import Email

    encrypted_content = composition.emails.encryption().encrypt(b"Subject: Hello\r\n\r\nHello\r\n")
    email = Email(
        recipient="ann@example.com",
        sender="us@example.com",
        subject="Hello",
        template="auth/hello",
        message_id=f"<{token_hex(8)}@example.com>",
        frozen=encrypted_content,
        created_at=composition.clock().now(),
        updated_at=composition.clock().now(),
    )
    async with composition.database().transaction():
        await composition.emails.repository().insert(email)
        return await composition.jobs.outbox().enqueue(*delivery_of(email.id))


async def test_a_running_job_is_seen_stopped_and_started_again(
    composition, work_off, programs, typed, command, silent_mail_server: str
) -> None:
    await work_off()
    worker: Program = programs("worker", "--queue", "mail", SMTP_URL=silent_mail_server, **UNHURRIED)
    worker.wait_for("ready.")
    job_id = await accept_mail(composition)
    await until_it_is(composition, job_id, "running")

    mine = [row for row in typed("workers") if row["pid"] == worker.process.pid]
    assert [(row["queues"], row["state"], row["running"]) for row in mine] == [("mail", "ready", 1)]
    listed = typed("jobs", "list", "--status", "running", "--kind", "emails.deliver", "--queue", "mail")
    assert str(job_id) in [job["id"] for job in listed]
    shown = typed("jobs", "show", str(job_id))
    assert shown["status"] == "running"
    assert shown["worker_id"].startswith(f"{mine[0]['id']}/")
    assert shown["payload"].keys() == {"email_id"}
    (queue,) = [row for row in typed("jobs", "stats")["queues"] if row["queue"] == "mail"]
    assert (queue["running"] >= 1, queue["workers"] >= 1) == (True, True)

    assert typed("jobs", "cancel", str(job_id)) == [
        {"id": str(job_id), "status": "cancelling", "error": None}
    ]
    await until_it_is(composition, job_id, "cancelled")
    # No relay runs: the wake-up that the command sends is what starts it.
    assert [answer["status"] for answer in typed("jobs", "retry", str(job_id))] == ["queued"]
    await until_it_is(composition, job_id, "running")

    worker.process.terminate()
    await until_a_line_of(command, mine[0]["id"], "draining")
    worker.stop()
    assert mine[0]["id"] not in (await command("workers")).stdout
    assert (await command("jobs", "cancel", str(job_id))).stdout == f"Job {job_id} is cancelled.\n"


async def test_tables_are_for_people(composition, command, word: str) -> None:
    error = '\'{"code": "jobs.timed_out", "x": "[red]"}\'::jsonb'
    job_id = await put(composition, word, **FAILED, error=error)
    listed = await command("jobs", "list", "--kind", word)
    for cell in (str(job_id), word, "failed", "jobs.timed_out"):
        assert cell in listed.stdout
    shown = (await command("jobs", "show", str(job_id))).stdout
    assert "thing_id" in shown
    assert "[red]" in shown
    assert "lease_token" not in shown
    statistics = (await command("jobs", "stats")).stdout
    for part in (word, "oldest due", "Relay behind by", "Leases that expired"):
        assert part in statistics
    assert (await command("jobs", "list", "--kind", "nothing")).stdout == "No job matches.\n"
    assert (await command("workers")).exit_code == 0


async def test_many_are_started_again_after_a_question(composition, command, word: str) -> None:
    job_ids = [await put(composition, word, **FAILED) for _ in range(3)]
    old = await put(composition, word, state="failed", finished_at="now() - interval '3 h'")
    chosen = ("jobs", "retry", "--kind", word, "--failed-since", "2h")
    unanswered = await command(*chosen)
    assert unanswered.exit_code == 1
    assert "3 failed jobs match. Retry them?" in unanswered.stderr
    assert {(await look(composition, job_id)).status for job_id in job_ids} == {"failed"}
    agreed = await command(*chosen, "--yes")
    assert (agreed.exit_code, agreed.stdout) == (0, "3 of 3 failed jobs are queued again.\n")
    assert {(await look(composition, job_id)).status for job_id in job_ids} == {"queued"}
    assert (await look(composition, old)).status == "failed"
    none = await command(*chosen, "--yes", "--json")
    assert json.loads(none.stdout) == {"matched": 0, "queued": 0}
    assert (await command("jobs", "cancel", *map(str, job_ids))).exit_code == 0


async def test_a_job_is_run_by_hand(composition, work_off, typed, command, people) -> None:
    await work_off()
    (answer,) = typed("jobs", "run", "jobs.prune")
    assert (answer["status"], answer["error"]) == ("queued", None)
    await work_off()
    assert (await look(composition, UUID(answer["id"]))).status == "succeeded"

    person = await people.register()
    event = {"owner_id": str(person.id), "user_id": str(person.id)}
    result = await command("jobs", "run", "auth.tell_password_changed", "--payload", json.dumps(event))
    assert (result.exit_code, result.stderr) == (0, "")
    job_id = UUID(result.stdout.removeprefix("Job ").removesuffix(" is queued.\n"))
    job = await look(composition, job_id)
    assert (job.status, job.owner_id, job.queue) == ("queued", person.id, "default")
    await work_off()
    assert (await look(composition, job_id)).status == "succeeded"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["files.seep"], "No job is called files.seep; there are "),
        (
            ["emails.deliver"],
            "emails.deliver takes email_id, and the payload doesn't fit: email_id: Field required.",
        ),
        (
            ["emails.deliver", "--payload", '{"email_id": "my word"}'],
            "email_id: Input should be a valid UUID",
        ),
        (
            ["jobs.prune", "--payload", '{"days": 1}'],
            "jobs.prune takes nothing, and the payload doesn't fit: days: ",
        ),
    ],
)
async def test_a_job_that_can_not_be_is_a_sentence(arguments, said: str, command) -> None:
    result = await command("jobs", "run", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "my word" not in result.stderr


async def test_what_cannot_be_done_is_said_in_a_sentence(composition, command, word: str) -> None:
    unknown = str(uuid4())
    queued = str(await put(composition, word))
    for order in ("show", "retry", "cancel"):
        result = await command("jobs", order, unknown)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == f"No job has the id {unknown}.\n"
    refused = await command("jobs", "retry", queued, "--json")
    assert refused.exit_code == 1
    assert "is queued" in json.loads(refused.stdout)[0]["error"]
    half_done = await command("jobs", "cancel", queued, unknown)
    assert half_done.exit_code == 1
    assert half_done.stdout == f"Job {queued} is cancelled.\n"
    assert unknown in half_done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "12"),
        ("retry",),
        ("retry", str(uuid4()), "--kind", "x"),
        ("retry", "--failed-since", "soon"),
        ("cancel",),
        ("run",),
        ("run", "jobs.prune", "--payload", "{days: 1}"),
        ("run", "jobs.prune", "--payload", "[1]"),
        ("list", "--status", "lost"),
        ("list", "--limit", "0"),
    ],
)
async def test_a_mistyped_command_is_explained(arguments: tuple[str, ...], command) -> None:
    result = await command("jobs", *arguments)
    assert result.exit_code == 2
    assert result.stderr


def test_without_a_database_the_commands_say_so(servers, settings) -> None:
    result = run(servers, "jobs", "stats", DATABASE_URL="postgresql://nobody:x@127.0.0.1:9/x")
    assert result.returncode == 1
    assert "PostgreSQL at 127.0.0.1:9: nothing listens there" in result.stderr
    assert "Start PostgreSQL" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_states_on_offer_are_those_that_there_are() -> None:
    assert get_args(Status) == get_args(JobStatus)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("7d", 604_800)])
def test_lengths_of_time_are_read(text: str, seconds: int) -> None:
    assert parse_duration(text).total_seconds() == seconds
