"""Log lines for each way in which a job ends: bugs are errors, facts about the input are not."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from domains.jobs.service.runner import JobRunner
from tests.domains.jobs.conftest import Enqueue, a_runner
from tests.domains.jobs.seeing import claim, run_once, run_sql

FAILURES = {
    "a mistake in the program": ("fail", "job_retries", "error", RuntimeError),
    "a server that is away": ("find nobody", "job_retries", "warning", ConnectionRefusedError),
    "a job that gives up by itself": ("give up", "job_failed", "error", Exception),
    "a fact about the input": ("meet a fact", "job_failed", "info", None),
}
OUTCOMES = {
    "succeed": "succeeded",
    "return": "succeeded",
    "meet a fact": "failed",
    "fail": "failed",
    "snooze": "snoozed",
}


async def lines_of(runner: JobRunner, job_id: Any) -> list[Any]:
    with capture_logs() as logs:
        await run_once(runner, job_id)
    return logs


@pytest.mark.parametrize(("do", "event", "level", "error"), FAILURES.values(), ids=FAILURES.keys())
async def test_the_first_attempt_tells_how_bad_it_is(
    enqueue: Enqueue, runner, do, event, level, error
) -> None:
    logs = await lines_of(runner, await enqueue(do))
    (line,) = [line for line in logs if line["event"] == event]
    assert line["log_level"] == level
    assert (line["exc_info"] is None) == (error is None)
    assert error is None or isinstance(line["exc_info"], error)


@pytest.mark.parametrize("do", ["fail", "find nobody"])
async def test_what_is_given_up_rings(enqueue: Enqueue, runner, composition, do) -> None:
    job_id = await enqueue(do)
    await run_sql(composition, "UPDATE jobs.jobs SET attempt = max_attempts - 1 WHERE id = :id", id=job_id)
    (line,) = [line for line in await lines_of(runner, job_id) if line["event"] == "job_failed"]
    assert (line["log_level"], line["problem"]) == ("error", "jobs.failed")
    assert line["exc_info"] is not None


async def test_a_payload_that_does_not_fit_rings_without_its_values(
    enqueue: Enqueue, runner, composition
) -> None:
    job_id = await enqueue()
    payload = '{"number": "a secret"}'
    await run_sql(
        composition, "UPDATE jobs.jobs SET payload = CAST(:p AS jsonb) WHERE id = :id", p=payload, id=job_id
    )
    (line,) = [line for line in await lines_of(runner, job_id) if line["event"] == "job_failed"]
    assert (line["log_level"], line["problem"], line["errors"]) == ("error", "jobs.bad_payload", ["number"])
    assert "secret" not in str(line)


@pytest.mark.parametrize(("do", "outcome"), OUTCOMES.items())
async def test_the_line_of_an_attempt_tells_how_it_ended(enqueue: Enqueue, runner, do, outcome) -> None:
    (line,) = [line for line in await lines_of(runner, await enqueue(do)) if line["event"] == "job_run"]
    assert line["outcome"] == outcome


async def test_an_end_that_can_not_be_written_is_told_of(enqueue: Enqueue, composition, monkeypatch) -> None:
    runner = a_runner(composition)
    claimed = await claim(runner, await enqueue("return"))

    async def mistaken(*_: object, **__: object) -> bool:
        raise TypeError

    monkeypatch.setattr(runner.leases, "finish", mistaken)
    with capture_logs() as logs:
        await asyncio.wait_for(runner.run(claimed), 20)
    (line,) = [line for line in logs if line["event"] == "job_left_to_its_lease"]
    assert (line["log_level"], line["error"]) == ("error", "TypeError")
    assert isinstance(line["exc_info"], TypeError)
