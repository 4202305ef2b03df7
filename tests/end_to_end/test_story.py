"""The main use case, end to end, against real processes."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tests.mails import mails_to
from tools.faults.people import some_email

PROJECT = Path(__file__).parents[2]
DATA = PROJECT / "tests" / "data"


async def until(found, *, seconds: float = 30):
    """Wait until `await found()` is true, and return what it found."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        value = await found()
        if value:
            return value
        await asyncio.sleep(0.1)
    pytest.fail("it never came")


def test_the_demo_passes(system, servers) -> None:
    result = subprocess.run(
        [sys.executable, "scripts/demo.py"],
        cwd=PROJECT,
        env={**os.environ, "TULOU_URL": system.url, "TULOU_DATA_DIR": str(servers.folder)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr + system.workers["files"].output


IMPATIENT = """
import sys
sys.path.insert(0, "scripts")
import demo
demo.READY_TIMEOUT_SECONDS = float(sys.argv[1])
sys.exit(demo.main())
"""


def test_the_demo_says_what_to_do_when_nothing_answers(servers) -> None:
    result = subprocess.run(
        [sys.executable, "-c", IMPATIENT, "1"],
        cwd=PROJECT,
        env={**os.environ, "TULOU_URL": "http://127.0.0.1:9", "TULOU_DATA_DIR": str(servers.folder)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stdout + result.stderr
    waiting, *rest = result.stdout.splitlines()
    assert waiting == "waiting for http://127.0.0.1:9/health/ready, for 1 s at most"
    assert "Start `make run` in another terminal" in " ".join(rest)


async def test_the_demo_waits_until_the_server_is_ready() -> None:
    states = [503, 503, 200]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        status = states.pop(0) if b"/health/ready" in asked else 404
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        demo = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", IMPATIENT, "30"),
            cwd=PROJECT,
            env={**os.environ, "TULOU_URL": url},
            stdout=asyncio.subprocess.PIPE,
        )
        printed = (await demo.communicate())[0].decode()
    assert states == []
    assert printed.count("waiting for") == 1
    assert "/v1/auth/register answered 404" in printed


def first_session() -> str:
    """Return the lines to paste into bash."""
    section = (PROJECT / "docs" / "first-session.md").read_text()
    return "".join(re.findall(r"```bash\n(.*?)```", section, re.DOTALL))


def test_the_first_session_works_as_printed(system, servers) -> None:
    finished = subprocess.run(
        ["bash", "-euo", "pipefail", "-s"],
        input=first_session(),
        cwd=PROJECT,
        env={**os.environ, "TULOU_URL": system.url, "TULOU_DATA_DIR": str(servers.folder)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert '"email_verified":true' in finished.stdout
    assert finished.stdout.count('"status":"succeeded"') == 2
    assert finished.stdout.splitlines()[-1] == "manual.pdf"
    thumbnail = Path(re.findall(r"bytes in (\S+)$", finished.stdout, re.MULTILINE)[0])
    assert thumbnail.read_bytes()[8:12] == b"WEBP"
    shutil.rmtree(thumbnail.parent)


async def test_mail_waits_for_a_mail_server_that_is_away(live, system, servers, app, composition) -> None:
    address = some_email()
    servers.catcher.stop()
    try:
        answer = await live.post(
            "/v1/auth/register", json={"email": address, "password": "a long password 77"}
        )
        assert answer.status_code == 202

        async def queued():
            found = await composition.emails.repository().database.fetch_all(_MAILS, recipient=address)
            return found and found[0].status == "queued"

        await until(queued)
        await asyncio.sleep(2)
        assert not mails_to(servers.mails, address)
    finally:
        servers.catcher.start()

    async def arrived():
        return mails_to(servers.mails, address)

    await until(arrived)
    await asyncio.sleep(1)
    assert len(mails_to(servers.mails, address)) == 1


async def test_a_killed_worker_loses_nothing(live, citizens, system, programs) -> None:
    """SIGKILL of the whole worker in the middle of its work: another one does it, after the lease."""
    from tests.end_to_end.conftest import QUICK

    person = await citizens.register()
    worker = system.workers["files"]
    jobs = []
    for number in range(6):
        files = {"file": (f"{number}.jpg", (DATA / "astronaut.jpg").read_bytes() + bytes([number]))}
        stored = await live.post("/v1/files", files=files, headers=person.headers)
        jobs.append(stored.json()["jobs"][0]["url"])
    family = psutil.Process(worker.process.pid).children(recursive=True)
    worker.kill()
    psutil.wait_procs(family, timeout=5)
    system.workers["files"] = programs("worker", "--queue", "files", **QUICK)

    async def all_done():
        states = [(await live.get(job, headers=person.headers)).json()["status"] for job in jobs]
        return all(state == "succeeded" for state in states)

    await until(all_done, seconds=60)


async def test_fifty_logins_leave_the_rest_answering(live, citizens, system) -> None:
    person = await citizens.register()
    form = {"grant_type": "password", "username": person.email, "password": person.password}
    waits: list[float] = []
    async with httpx.AsyncClient(
        base_url=system.url, timeout=60, limits=httpx.Limits(max_connections=60)
    ) as many:
        logins = [asyncio.ensure_future(many.post("/v1/auth/token", data=form)) for _ in range(50)]
        while not all(login.done() for login in logins):
            started = time.monotonic()
            assert (await live.get("/health/live")).status_code == 200
            waits.append(time.monotonic() - started)
            await asyncio.sleep(0.005)
    assert [login.result().status_code for login in logins] == [200] * 50
    assert sorted(waits)[len(waits) // 2] < 0.5


async def test_a_stop_ends_open_streams_and_loses_no_answer(programs, servers, citizens, system) -> None:
    from tests.programs import free_port

    port = free_port()
    api = programs("serve", TULOU_PORT=str(port), TULOU_PUBLIC_URL=system.url, TULOU_SHUTDOWN_GRACE="2")
    api.wait_until_it_answers(f"http://127.0.0.1:{port}/health/live")
    person = await citizens.register()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        answer = await client.get("/v1/users/me", headers=person.headers)
        assert answer.status_code == 200
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v1/auth/register HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
    started = time.monotonic()
    code = await asyncio.to_thread(api.stop, seconds=15)
    assert time.monotonic() - started < 10
    assert code in {0, -15}, code
    writer.close()


def _mail_statement():
    from sqlalchemy import bindparam, select
    from sqlmodel import col

    from domains.emails.models import Email
    from shared.db.statement import Statement
    from shared.schemas import Row

    class Status(Row):
        status: str

    return Statement(select(col(Email.status)).where(col(Email.recipient) == bindparam("recipient")), Status)


_MAILS = _mail_statement()
