"""Every background loop survives any exception of a round, logs it once, and continues."""

import ast
import asyncio
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

import bootstrap
import domains
import shared
from bootstrap import relay
from shared import background
from shared.background import LOOPS, BackgroundLoop, Run, reason_of, stalled_loops
from shared.errors import DatabaseUnavailable
from tests.background.loops import CASES, Work

PROGRAMS_OF_THEIR_OWN = ("bootstrap.migrations.env", "bootstrap.migrations.versions")
ROOT = Path(bootstrap.__path__[0]).parent
ENDS_BY_ITSELF = {
    "bootstrap/api/app.py": "sends the last spans and reports",
    "bootstrap/observability/disks.py": "asks each disk for its free space",
    "bootstrap/observability/exposition.py": "reads one source of metrics",
    "domains/files/gateway/child.py": "talks to one process that opens a file",
    "domains/files/gateway/confinement.py": "tries what a thread may do",
    "domains/files/gateway/store.py": "reads the next piece of a file ahead",
    "domains/files/service/upload_stream.py": "hashes one piece of an upload",
    "domains/files/service/uploads.py": "gives up one upload",
    "domains/jobs/service/attempt.py": "runs one job, and the heartbeat of it",
    "shared/background.py": "starts the loops",
    "shared/db/transaction.py": "does what follows one commit",
    "shared/http/streaming.py": "waits for the next item of one event stream",
}
"""Modules that start a task or a thread that is no loop, and what it does."""

COMMANDS = ("bootstrap/backup/", "bootstrap/doctor/", "tools/dev/")

ERRORS = {
    "a refused login": asyncpg.InvalidPasswordError('password authentication failed for user "app"'),
    "a read-only database": asyncpg.ReadOnlySQLTransactionError("cannot execute UPDATE"),
    "a missing table": asyncpg.UndefinedTableError('relation "jobs.workers" does not exist'),
    "a full disk": asyncpg.DiskFullError("could not extend file"),
    "no database": DatabaseUnavailable(),
    "a broken constraint": asyncpg.UniqueViolationError("duplicate key value violates unique constraint"),
    "a mistake in the program": TypeError("'NoneType' object is not callable"),
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let loops try again at once, and tell of each loop's failures anew."""
    monkeypatch.setattr(background, "FIRST_PAUSE", 0.01)
    for loop in LOOPS.values():
        monkeypatch.setattr(loop, "longest_pause", 0.02)
        monkeypatch.setattr(loop, "_warnings", background.ThrottledWarnings(background.logger))


@pytest.fixture
def loop() -> Iterator[BackgroundLoop]:
    """A loop of a test's own."""
    made = BackgroundLoop("tests.loop", longest_pause=0.02, round_timeout=0.2)
    yield made
    del LOOPS[made.name]


def test_every_loop_of_the_program_is_tested_here() -> None:
    for package in (bootstrap, domains, shared):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith(PROGRAMS_OF_THEIR_OWN):
                importlib.import_module(module.name)
    assert sorted(name for name in LOOPS if not name.startswith("tests.")) == sorted(CASES)


def test_what_runs_beside_is_a_loop_of_that_shape_or_ends_by_itself() -> None:
    sources = {
        path.relative_to(ROOT).as_posix(): path.read_text()
        for package in (bootstrap, domains, shared)
        for path in Path(package.__path__[0]).rglob("*.py")
        if not path.relative_to(ROOT).as_posix().startswith(COMMANDS)
    }
    starting = {name for name, source in sources.items() if starts_something(source)}
    with_loops = {name for name, source in sources.items() if "BackgroundLoop(" in source}
    assert sorted(starting - with_loops) == sorted(ENDS_BY_ITSELF)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("asyncio.create_task(forever())", True),
        ("loops.create_task(forever())", True),
        ("threading.Thread(target=forever).start()", True),
        ("timer.call_repeatedly(1, look)", True),
        ("LOOP.start(look, pause=1)", False),
    ],
)
def test_a_start_of_something_is_noticed(source: str, found: bool) -> None:
    assert starts_something(source) is found


def starts_something(source: str) -> bool:
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = {func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "") for func in calls}
    return not names.isdisjoint({"create_task", "ensure_future", "call_repeatedly", "Thread"})


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
@pytest.mark.parametrize("name", CASES)
async def test_a_loop_goes_on_whatever_its_work_raises(
    name: str, error: Exception, quick, monkeypatch
) -> None:
    loop = LOOPS[name]
    failures, loop.last_success = loop.failures, None
    work = Work(error, error, error)
    with capture_logs() as logs:
        async with CASES[name](work, monkeypatch):
            await asyncio.wait_for(work.went_well.wait(), 20)
            await asyncio.sleep(0.05)
            assert loop.last_success is not None
    assert loop.failures == failures + 3
    lines = [line for line in logs if line.get("loop") == name]
    is_mistake = isinstance(error, TypeError | asyncpg.UniqueViolationError)
    event, level = ("background_error", "error") if is_mistake else ("background_failed", "warning")
    assert [(line["event"], line["log_level"]) for line in lines] == [
        (event, level),
        ("background_works_again", "info"),
    ]
    assert lines[0]["reason"] == reason_of(error)
    assert ("exc_info" in lines[0]) == is_mistake


async def test_the_pause_after_failures_grows_up_to_three_seconds(loop) -> None:
    ordinary = BackgroundLoop("tests.ordinary")
    del LOOPS["tests.ordinary"]
    run, pauses = Run(ordinary, 10.0), []
    for _ in range(5):
        with run:
            raise ConnectionRefusedError
        pauses.append(run.wait)
    assert pauses == [0.5, 1.0, 2.0, 3.0, 3.0]
    with run:
        pass
    assert run.wait == 10.0


async def test_a_round_that_takes_too_long_is_cancelled_and_counts_as_failed(loop) -> None:
    rounds = 0

    async def hang() -> None:
        nonlocal rounds
        rounds += 1
        await asyncio.sleep(60)

    with capture_logs() as logs:
        running = loop.start(hang, pause=0)
        async with asyncio.timeout(20):
            while rounds < 3:
                await asyncio.sleep(0.02)
        running.cancel()
        await asyncio.wait([running])
    assert loop.failures >= 2
    assert [line["reason"] for line in logs] == ["TimeoutError: the round took longer than 0.2 s"]


async def test_a_loop_ends_when_it_is_cancelled_also_where_a_library_swallows_that(loop) -> None:
    begun = asyncio.Event()

    async def swallow() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise TimeoutError from None

    loop.round_timeout = 60
    running = loop.start(swallow, pause=0)
    await begun.wait()
    running.cancel()
    await asyncio.wait_for(asyncio.wait([running]), 10)


async def test_a_loop_stops_at_once_in_the_middle_of_its_pause(loop) -> None:
    stop = asyncio.Event()

    async def nothing() -> None:
        stop.set()

    await asyncio.wait_for(loop.run(nothing, pause=3600, stop=stop), 10)


async def test_a_loop_whose_rounds_never_end_stands_still(loop, monkeypatch) -> None:
    monkeypatch.setattr(background, "STALL_GRACE", 0.0)
    run = loop.begin(pause=0.0)
    assert stalled_loops() == []
    await asyncio.sleep(0.3)
    assert stalled_loops() == ["tests.loop"]
    with run:
        pass
    assert stalled_loops() == []
    await asyncio.sleep(0.3)
    run.end()
    assert stalled_loops() == [], "a run that has ended can't stand still"


async def test_a_loop_that_ends_with_an_error_asks_the_process_to_end(loop, monkeypatch) -> None:
    killed = []
    monkeypatch.setattr(background.os, "kill", lambda pid, number: killed.append((pid, number)))

    def fail() -> bool:
        raise TypeError

    async def nothing() -> None:
        pass

    with capture_logs() as logs:
        running = loop.start(nothing, pause=0, should_continue=fail)
        await asyncio.wait([running])
        await asyncio.sleep(0)
    assert killed == [(background.os.getpid(), background.signal.SIGTERM)]
    assert [line["event"] for line in logs] == ["background_loop_ended"]


def test_a_reason_names_the_cause_and_no_parameters() -> None:
    refused = asyncpg.InvalidPasswordError('password authentication failed for user "app"')
    away = DatabaseUnavailable()
    away.__cause__ = refused
    told = 'InvalidPasswordError (28P01): password authentication failed for user "app"'
    assert reason_of(refused) == told
    assert reason_of(away) == f"database_unavailable: {told}"
    assert reason_of(asyncpg.UniqueViolationError("duplicate key\nDETAIL: (secret)")).endswith(
        "duplicate key"
    )
    assert reason_of(TimeoutError()) == "TimeoutError"


async def test_a_relay_gives_no_sign_of_life_while_a_loop_of_it_stands_still(
    loop, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(background, "STALL_GRACE", 0.0)
    monkeypatch.setattr(relay, "ANNOUNCE_PAUSE", 0.02)
    settings: Any = SimpleNamespace(pulse_file=tmp_path / "pulse")
    run, stop = loop.begin(), asyncio.Event()
    await asyncio.sleep(0.3)
    with capture_logs() as logs:
        beating = asyncio.create_task(relay._touch_liveness_file(settings, stop))
        await asyncio.sleep(0.2)
        assert not settings.pulse_file.exists()
        assert logs[0]["event"] == "background_loops_stalled"
        assert logs[0]["loops"] == ["tests.loop"]
        run.end()
        async with asyncio.timeout(20):
            while not settings.pulse_file.exists():
                await asyncio.sleep(0.02)
    stop.set()
    await beating
