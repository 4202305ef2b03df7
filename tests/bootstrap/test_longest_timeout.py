"""A job's timeout is met before anything kills its process, or the program doesn't start."""

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


@pytest.mark.parametrize(("queue", "timeout"), [("files", 900), ("mail", 120), ("default", 600)])
def test_a_worker_kills_nothing_that_could_still_end_by_itself(queue: str, timeout: int, servers) -> None:
    drain = 300
    told = subprocess.run(
        [sys.executable, "-c", _PRINT_HARD_LIMIT.format(queue=queue)],
        env={**os.environ, **servers.environment, "TULOU_JOBS_DRAIN_SECONDS": str(drain)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert float(told.stdout.split()[-1]) > drain + timeout
