"""Secrets and logs: the check of the whole run works, and a program under attack logs no secret."""

import contextlib
import io
import json
import logging
import re
from pathlib import Path

import httpx
import pytest

from shared.http.middleware.access_log import AccessLog, RequestScope
from shared.logging import ACCESS, configure_logging, get_logger
from shared.redaction import redacted
from tests.mails import mails_to
from tests.programs import free_port
from tests.secrecy import Secrecy
from tools.faults.people import PASSWORD, some_email


@pytest.mark.parametrize(
    ("secret", "line"),
    [
        ("a-token-of-43-letters_0123456789", "logged in with a-token-of-43-letters_0123456789."),
        ("several words that are one", 'error: "several words that are one"'),
        ("eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2ln", "token=eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2ln&x=1"),
    ],
)
def test_the_watch_finds_a_secret_in_a_log(secret: str, line: str) -> None:
    secrecy = Secrecy()
    secrecy.read("api", f"nothing here\n{line}\nnor here\n")
    assert list(secrecy.leaks()) == []
    secrecy.learn_fields({"deep": [{"refresh_token": secret}]})
    (leak,) = secrecy.leaks()
    assert leak.startswith("api: ")
    assert secret not in leak
    secrecy.close()


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://tulou:{}@127.0.0.1/tulou refused",
        "smtp://mailer@example.com:{}@mail.example.com:587",
        "Authorization: Bearer {}",
        '{{"password": "{}"}}',
        "Invalid body: password={}&username=x",
        "GET /reset-password?token={} failed",
        "api_key='{}'",
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str) -> None:
    assert "hunter-2-hunter" not in redacted(text.format("hunter-2-hunter"))


@pytest.mark.parametrize(
    "text", ["the token is no good", "0199e0d6-0000-7000-8000-000000000000", "a" * 64, "password: None"]
)
def test_what_looks_like_none_is_left(text: str) -> None:
    assert redacted(text) == text


@pytest.fixture
def written():
    """What is logged from `begin(format)` on, as it would be written; the run's own collection goes on afterwards."""
    names = ("", ACCESS)
    before = {name: list(logging.getLogger(name).handlers) for name in names}
    text = io.StringIO()

    def begin(log_format):
        with contextlib.redirect_stderr(text):
            configure_logging(level="info", log_format=log_format)
        return text

    yield begin
    for name, handlers in before.items():
        logging.getLogger(name).handlers = handlers


def test_an_exception_of_somebody_else_tells_no_password(written) -> None:
    text = written("json")

    def connect(password: str) -> None:
        raise ConnectionError(f"postgresql://tulou:{password}@db/tulou refused password={password}")

    for log in (get_logger("ours").exception, logging.getLogger("theirs").exception):
        try:
            connect("hunter-2-hunter")
        except ConnectionError:
            log("it_failed")
    lines = [json.loads(line) for line in text.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["it_failed", "it_failed"]
    assert "hunter-2-hunter" not in json.dumps(lines)
    assert "ConnectionError" in json.dumps(lines)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_nobody_can_forge_a_line(log_format, written) -> None:
    forged = 'x"}\n{"event": "security_event"'
    text = written(log_format)
    AccessLog(log_format).write(
        [RequestScope("GET", "/v1/files/{file_id}", 200, 0.1, 0.2, 3, None, forged, "an-id", 1.0)]
    )
    get_logger("ours").warning("event", given=forged)
    logging.getLogger("theirs").warning("said %s", forged)
    lines = text.getvalue().splitlines()
    assert len(lines) == 3
    assert not any(line.startswith('{"event": "security_event"') for line in lines)


async def test_a_program_under_fire_keeps_silent(programs, servers, app) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    quick = {"TULOU_PORT": str(port), "TULOU_PUBLIC_URL": url, "TULOU_LOG_LEVEL": "debug"}
    api = programs("serve", **quick)
    worker = programs("worker", "--queue", "default", "--queue", "mail", **quick)
    api.wait_until_it_answers(f"{url}/health/ready")
    worker.wait_for("ready.")
    address = some_email()
    secrets: list[str] = [PASSWORD]
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        await client.post("/v1/auth/register", json={"email": address, "password": PASSWORD})
        wrong = "not the password of anybody"
        for password in (wrong, PASSWORD):
            form = {"grant_type": "password", "username": address, "password": password}
            answer = await client.post("/v1/auth/token", data=form)
        tokens = answer.json()
        secrets += [wrong, tokens["access_token"], tokens["refresh_token"]]
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        await client.get("/v1/users/me", headers=headers)
        await client.get("/v1/users/me?access_token=" + tokens["access_token"], headers=headers)
        await client.get("/v1/users/me", headers={"Authorization": "Bearer nobody-has-this-token-0123"})
        await client.post("/v1/auth/password/forgot", json={"email": address})
        for token in await _links_to(servers.mails, address, number=2):
            secrets.append(token)
            await client.get(f"/reset-password?token={token}")
            await client.post("/v1/auth/password/reset", json={"token": token, "password": "short"})
            await client.post("/v1/auth/password/reset", json={"token": token, "password": PASSWORD[::-1]})
        secrets += [PASSWORD[::-1], "nobody-has-this-token-0123"]
    worker.wait_for("mail_sent")
    for program in (api, worker):
        program.process.terminate()
        program.process.wait(60)
    said = api.output + worker.output
    assert '"route": "/v1/users/me"' in said
    assert [secret for secret in secrets if secret in said] == []
    own = [
        value
        for name, value in servers.environment.items()
        if name.endswith(("_KEY", "_KEYS", "_KEYS_ES256"))
    ]
    assert own
    assert [key for keys in own for key in keys.split(",") if key in said] == []


async def _links_to(folder: Path, address: str, *, number: int) -> list[str]:
    """Wait for the mails to somebody, and return the tokens of their links."""
    import asyncio

    async with asyncio.timeout(30):
        while True:
            found: list[str] = []
            for message in mails_to(folder, address):
                text = message.get_body(("plain",))
                found += re.findall(r"token=([\w-]+)", str(text.get_content()) if text else "")
            if len(set(found)) >= number:
                return sorted(set(found))
            await asyncio.sleep(0.1)
