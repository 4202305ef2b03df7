"""A job's timeout ends it before its process is killed; otherwise the program doesn't start."""

import os
import subprocess
import sys

import pytest

_PRINT_HARD_LIMIT = """
from bootstrap.settings.loading import load_settings
from bootstrap.worker import Worker
print(Worker(load_settings(), [{queue!r}]).celery.conf.task_time_limit)
"""


@pytest.mark.parametrize("command", [("serve",), ("relay",), ("worker", "--queue", "files")])
def test_a_timeout_past_the_limit_is_refused_at_the_start(command: tuple[str, ...], programs) -> None:
    program = programs(*command, TULOU_JOBS_LONGEST_TIMEOUT="600")
    assert program.process.wait(30) == 1
    told = " ".join(program.output.split())
    assert "files.process" in told
    assert "900 s" in told
    assert "TULOU_JOBS_LONGEST_TIMEOUT allows 600 s" in told


_PRINT_HARD_LIMIT_WITH_A_LONG_JOB = """
from bootstrap.compose import compose
from bootstrap.settings.loading import load_settings
from bootstrap.worker import Worker
from shared.jobs import JobHandler, JobType, NoPayload
from shared.queues import Queue

LONG = JobType("tests.long", NoPayload, queue=Queue("long"), timeout=3600)


def composed(settings):
    container = compose(settings, "worker")
    container.registry().add([JobHandler(LONG, None)])
    return container


print(Worker(load_settings(), ["long"], composed=composed).celery.conf.task_time_limit)
"""


def _print_limit(program: str, servers, **settings: str) -> float:
    told = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **servers.environment, **settings},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return float(told.stdout.split()[-1])


def test_a_job_of_an_hour_is_not_killed_before_its_timeout(servers) -> None:
    limit = _print_limit(_PRINT_HARD_LIMIT_WITH_A_LONG_JOB, servers, TULOU_JOBS_LONGEST_TIMEOUT="3600")
    assert 3600 < limit < 3600 + 120


@pytest.mark.parametrize(("queue", "timeout"), [("files", 900), ("mail", 120), ("default", 600)])
def test_a_worker_kills_nothing_that_could_still_end_by_itself(queue: str, timeout: int, servers) -> None:
    drain = 300
    program = _PRINT_HARD_LIMIT.format(queue=queue)
    assert _print_limit(program, servers, TULOU_JOBS_DRAIN_SECONDS=str(drain)) > drain + timeout
