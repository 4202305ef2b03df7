"""Each job is declared once, in its domain, and a worker can run it."""

import ast
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from bootstrap.compose import compose
from bootstrap.settings.model import Settings
from shared.jobs import JobType
from shared.queues import QUEUES

PROJECT = Path(__file__).parents[2]
JOB_TYPES = sorted(PROJECT.glob("domains/*/job_types.py"))
DECLARED = [
    job
    for path in JOB_TYPES
    for job in vars(import_module(f"domains.{path.parent.name}.job_types")).values()
    if isinstance(job, JobType)
]


def constants_in(node: ast.AST) -> Iterator[object]:
    """Yield a module's constants, but for those in examples of the OpenAPI document."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Constant):
            yield child.value
        elif not (isinstance(child, ast.keyword) and child.arg == "examples"):
            yield from constants_in(child)


def test_each_declared_job_has_a_handler(settings: Settings) -> None:
    """A recurring job without one would never run, and nothing would say so."""
    handled = compose(settings, "worker").registry().types()
    assert sorted(job.kind for job in DECLARED) == sorted(job.kind for job in handled)


def test_each_job_uses_a_queue_that_has_workers() -> None:
    assert [job.kind for job in DECLARED if QUEUES.get(job.queue.name) is not job.queue] == []


def test_the_kind_of_a_job_is_written_once() -> None:
    kinds = {job.kind for job in DECLARED}
    written = Counter(
        constant
        for package in ("bootstrap", "domains", "shared")
        for path in (PROJECT / package).rglob("*.py")
        for constant in constants_in(ast.parse(path.read_text()))
        if constant in kinds
    )
    assert written == dict.fromkeys(kinds, 1)
