"""A request's id and trace context, from its response to the last job and mail that it causes."""

import io
import json
import logging
import secrets
from collections.abc import Iterator

import asyncpg
import httpx
import pytest
from structlog.stdlib import ProcessorFormatter

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The log as production writes it."""
    root, written = logging.getLogger(), io.StringIO()
    formatters = [handler.formatter for handler in root.handlers]
    handler = logging.StreamHandler(written)
    handler.setFormatter(next(found for found in formatters if isinstance(found, ProcessorFormatter)))
    root.addHandler(handler)
    yield written
    root.removeHandler(handler)


async def test_a_request_is_found_in_its_jobs_its_mail_and_their_log_lines(
    client: httpx.AsyncClient, user, work_off, servers, log: io.StringIO
) -> None:
    request_id = f"mobile:{secrets.token_hex(8)}"
    answer = await client.post(
        "/v1/auth/password/forgot",
        json={"email": user.email},
        headers={"X-Request-Id": request_id, "traceparent": TRACEPARENT},
    )
    assert answer.headers["X-Request-Id"] == request_id
    await work_off()

    database = await asyncpg.connect(servers.superuser_url)
    jobs = await database.fetch("SELECT kind, traceparent FROM jobs.jobs WHERE request_id = $1", request_id)
    mails = await database.fetch("SELECT recipient FROM emails.emails WHERE request_id = $1", request_id)
    await database.close()
    assert {job["traceparent"] for job in jobs} == {TRACEPARENT}
    assert len(jobs) > 1, "the job that writes the mail, and the one that delivers it"
    assert len(mails) == 1
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    runs = [line for line in lines if line["event"] == "job_run" and line.get("request_id") == request_id]
    assert {line["kind"] for line in runs} == {job["kind"] for job in jobs}
    of_request = [line for line in lines if line.get("request_id") == request_id]
    assert {line.get("trace_id") for line in of_request} == {TRACEPARENT.split("-")[1]}


async def test_a_line_outside_of_a_request_names_none(log: io.StringIO) -> None:
    logging.getLogger("somewhere").warning("nothing in particular")
    assert not {"request_id", "trace_id"} & json.loads(log.getvalue()).keys()
