"""Each background loop of the program, started with work that a test provides."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import uvicorn

import bootstrap.api.server
import bootstrap.relay
import domains.jobs.service.running as running_module
import domains.jobs.service.watcher as watcher_module
import shared.revocation as revocation_module
from bootstrap.api.account_rates import PersonalRates
from bootstrap.api.rate_sync import RateSync
from bootstrap.worker import ANNOUNCING, WORKER_LOOP, Worker
from domains.jobs.gateway.broker import WAKING, WakeUpTransport
from domains.jobs.gateway.wake_ups import RedisWakeUps
from domains.jobs.schemas import LeaseRow
from domains.jobs.service.relay import Relay
from domains.jobs.service.watcher import JobWatcher
from domains.jobs.settings import JobsSettings
from domains.modes.schemas import ModeRow
from domains.modes.service import ModeService
from domains.modes.settings import ModesSettings
from shared.background import Run
from shared.clock import Clock
from shared.db.replicas import Replicas
from shared.http.middleware.request_recorder import RequestRecorder
from shared.ids import new_id
from shared.revocation import RevocationWatcher
from tests.domains.jobs.test_heartbeat import a_running_job

PAUSE = 0.01
CASES: "dict[str, Case]" = {}


class Work:
    """What a loop does: it raises what it is told to raise, until it is told nothing more."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.answer: Any = None
        self.went_well = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def sync(self, *_: Any, **__: Any) -> Any:
        if self._errors:
            raise self._errors.pop(0)
        self._loop.call_soon_threadsafe(self.went_well.set)
        return self.answer

    async def coroutine(self, *_: Any, **__: Any) -> Any:
        return self.sync()


Case = Callable[[Work, pytest.MonkeyPatch], AbstractAsyncContextManager[None]]


def case(name: str) -> Callable[[Callable[[Work, pytest.MonkeyPatch], AsyncIterator[None]]], Case]:
    """Enter how the loop of this name is started."""

    def enter(function: Callable[[Work, pytest.MonkeyPatch], AsyncIterator[None]]) -> Case:
        CASES[name] = contextlib.asynccontextmanager(function)
        return CASES[name]

    return enter


@contextlib.asynccontextmanager
async def task(coroutine: Any) -> AsyncIterator[None]:
    running = asyncio.create_task(coroutine)
    yield
    running.cancel()
    await asyncio.wait([running])


async def again_and_again(call: Callable[[], Any]) -> None:
    """Call as a timer does."""
    while True:
        call()
        await asyncio.sleep(PAUSE)


async def nothing(*_: Any, **__: Any) -> None:
    """Do nothing."""


def relay(**methods: Any) -> Relay:
    given: Any = dict.fromkeys(("rows", "registry", "outbox", "wake_ups", "transaction", "clock"))
    made = Relay(settings=JobsSettings(jobs_relay_interval=0.05), **given)
    for name, method in ({"maintain_jobs": nothing, "send_wake_ups": nothing} | methods).items():
        setattr(made, name, method)
    return made


@case("relay.maintenance")
async def books(work: Work, _patch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    async with task(relay(maintain_jobs=work.coroutine).run(asyncio.Event())):
        yield


@case("relay.wake_ups")
async def wake_ups_of_the_relay(work: Work, _patch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    async with task(relay(send_wake_ups=work.coroutine).run(asyncio.Event())):
        yield


@case("relay.heartbeat")
async def announcements(work: Work, _patch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    worker_registry = SimpleNamespace(register=work.coroutine, deregister=nothing)
    container: Any = SimpleNamespace(jobs=SimpleNamespace(worker_registry=lambda: worker_registry))
    async with task(bootstrap.relay._announce(container, asyncio.Event())):
        yield


@case("relay.liveness")
async def liveness(work: Work, patch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    patch.setattr(bootstrap.relay, "touch", work.sync)
    settings: Any = SimpleNamespace(pulse_file=None)
    async with task(bootstrap.relay._touch_liveness_file(settings, asyncio.Event())):
        yield


def worker(**attributes: Any) -> Any:
    """Return the parent process of a worker, without Celery."""
    made = object.__new__(Worker)
    made.__dict__.update(attributes)
    return made


@case("worker.heartbeat")
async def announcements_of_a_worker(work: Work, _patch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    parent = worker(
        _settings=SimpleNamespace(pulse_file=None), _announcements=Run(ANNOUNCING), _announce=work.sync
    )
    async with task(again_and_again(parent._tick)):
        yield


@case("worker.jobs")
async def worker_loop(work: Work, _patch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    parent = worker(
        _shutdown=SimpleNamespace(ends_at=lambda: None, work=lambda _number: None),
        _loop_runs=Run(WORKER_LOOP),
        _current_child=lambda: SimpleNamespace(run_due=work.sync),
    )
    async with task(again_and_again(lambda: parent._handle_wake_up("mail"))):
        yield


@case("worker.wake_ups")
async def wake_ups(work: Work, _patch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    transport: Any = object.__new__(WakeUpTransport)
    transport.__dict__.update(_rounds=Run(WAKING), _wake_all=work.sync)
    async with task(again_and_again(lambda: transport.wake(1, 1))):
        yield


@case("jobs.heartbeat")
async def heartbeats(work: Work, patch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    patch.setattr(running_module, "PROGRESS_PAUSE", PAUSE)
    patch.setattr(running_module, "LOOK_PAUSE", PAUSE)
    work.answer = LeaseRow(cancel_requested_at=None)
    rows: Any = SimpleNamespace(look=work.coroutine, beat=work.coroutine)
    given = SimpleNamespace(
        database=lambda: SimpleNamespace(transaction=None),
        jobs=SimpleNamespace(outbox=lambda: None),
        provide=lambda: None,
    )
    handler = asyncio.create_task(asyncio.sleep(60))
    async with task(a_running_job(given, rows).keep_lease(handler)):
        yield
        assert not handler.done(), "a heartbeat that failed ended its job"
    handler.cancel()


@case("jobs.wake_ups")
async def sent_wake_ups(work: Work, _patch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    sender: Any = RedisWakeUps("redis://127.0.0.1:1")
    sender._send_waiting = work.sync
    sender.send_soon("mail", new_id())
    yield
    sender._waiting.clear()
    await sender.stop()


@case("jobs.watch")
async def watching(work: Work, patch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    patch.setattr(watcher_module, "PAUSE", PAUSE)
    work.answer = []
    watcher: Any = JobWatcher(jobs=SimpleNamespace(find_many=work.coroutine))
    watcher._watched[uuid4()] += 1
    watcher._ensure_poller()
    yield
    await watcher.stop()


@case("sessions")
async def admissions(work: Work, patch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    patch.setattr(revocation_module, "POLL_INTERVAL", PAUSE)
    work.answer = set()
    made: Any = RevocationWatcher(SimpleNamespace(still_valid=work.coroutine))
    principal: Any = "somebody"
    with made.following(principal) as ended:
        yield
        await asyncio.wait_for(ended, 10)
    await made.stop()


@case("rate_sync")
async def rate_sync(work: Work, _patch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    nobody: Any = None
    made: Any = RateSync(nobody, nobody, interval=PAUSE, callers=1)
    made.sync = work.coroutine
    running = made.start()
    yield
    running.cancel()
    await asyncio.wait([running])


@case("account_rates")
async def account_rates(work: Work, _patch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    limits: Any = SimpleNamespace()
    running = PersonalRates(limits, work.coroutine).start()
    yield
    running.cancel()
    await asyncio.wait([running])


@case("modes")
async def modes(work: Work, _patch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    work.answer = ModeRow()
    repository: Any = SimpleNamespace(find=work.coroutine)
    settings = ModesSettings(mode_interval=PAUSE)
    nothing: Any = None
    service = ModeService(
        repository=repository, settings=settings, audit=nothing, transaction=nothing, clock=Clock()
    )
    async with service.refreshing():
        yield


@case("request_log")
async def request_recorder(work: Work, _patch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    log: Any = SimpleNamespace(write=work.sync)
    async with task(again_and_again(RequestRecorder(log)._flush)):
        yield


@contextlib.asynccontextmanager
async def ticking(patch: pytest.MonkeyPatch, **attributes: Any) -> AsyncIterator[None]:
    """Let a server tick that has nothing else to do."""

    async def on_tick(*_: Any) -> bool:
        return False

    patch.setattr(uvicorn.Server, "on_tick", on_tick)
    server: Any = object.__new__(bootstrap.api.server._Server)
    server.__dict__.update(
        _ticks_between_looks=1,
        _freed=SimpleNamespace(trim_if_idle=nothing),
        _check_write_timeouts=lambda: None,
        _stops_at=math.inf,
        _trims=Run(bootstrap.api.server.FREED_MEMORY),
        _looks=Run(bootstrap.api.server.SLOW_READERS),
    )
    server.__dict__.update(attributes)

    async def tick() -> None:
        while not await server.on_tick(0):
            await asyncio.sleep(PAUSE)

    async with task(tick()):
        yield


@case("freed_memory")
async def freed_memory(work: Work, patch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    async with ticking(patch, _freed=SimpleNamespace(trim_if_idle=work.coroutine)):
        yield


@case("slow_readers")
async def slow_readers(work: Work, patch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    async with ticking(patch, _check_write_timeouts=work.sync):
        yield


@case("database.replicas")
async def replicas(work: Work, _patch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    work.answer = 1
    made = Replicas(["postgresql://nobody@127.0.0.1:1/none"], lag=0.2, size=1, timeout=1)
    made.start(work.coroutine)
    yield
    made.stop()
