"""Objects made at the start are frozen, so that garbage collections do not visit them again."""

import gc
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
import uvicorn
from redis.asyncio import Redis

from bootstrap import worker
from bootstrap.api import server as serve
from bootstrap.observability.readiness import Readiness
from bootstrap.runtime.loading import loading

CHECK = """
import gc
from bootstrap.runtime.gc_tuning import YOUNG, tune_gc
before = len(gc.get_objects())
tune_gc()
assert gc.get_threshold()[0] == YOUNG
assert gc.get_freeze_count() > before / 2, (gc.get_freeze_count(), before)
assert len(gc.get_objects()) < before / 10
"""


def test_what_is_there_is_never_looked_at_again() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", CHECK], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr


async def test_a_serving_process_does_so_once_it_has_started(settings, composition, monkeypatch) -> None:
    done: list[bool] = []
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(lambda *_: None, lifespan="off", log_config=None)
    config.load()
    server = serve._Server(
        config,
        settings=settings.model_copy(update={"watchdog": 0}),
        readiness=Readiness(composition, Redis()),
    )
    server.lifespan = config.lifespan_class(config)
    monkeypatch.setattr(serve, "tune_gc", lambda: done.append(server.started))
    await server.startup([listening])
    await server.shutdown([listening])
    assert done == [True]


def test_a_workers_child_does_so(monkeypatch) -> None:
    done: list[str] = []
    child = SimpleNamespace(_settings=SimpleNamespace(log_level="info", logs_as="json"))
    child._current_child = lambda: done.append("composed")
    monkeypatch.setattr(worker, "configure_logging", lambda **_: None)
    monkeypatch.setattr(worker, "tune_gc", lambda: done.append("set"))
    worker.Worker._on_child_start(child)
    assert done == ["composed", "set"]


def test_what_is_loaded_is_not_looked_through() -> None:
    with loading():
        assert not gc.isenabled()
        before, loaded = gc.get_freeze_count(), [[] for _ in range(1000)]
        with loading():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(loaded)


def test_the_search_goes_on_though_something_could_not_be_loaded() -> None:
    with pytest.raises(ImportError), loading():
        raise ImportError
    assert gc.isenabled()


def test_whatever_is_composed_was_loaded_so() -> None:
    program = "import bootstrap.compose, gc; print(gc.get_stats()[2]['collections'], gc.get_freeze_count() > 50_000)"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.split() == ["0", "True"]


def test_a_process_loads_no_integration_that_it_does_not_use_and_can_do_so_later() -> None:
    program = """
import sys
from bootstrap.runtime.loading import UNUSED_INTEGRATIONS, loading
with loading():
    from bootstrap.api.server import serve_api
print([name for name in UNUSED_INTEGRATIONS if name in sys.modules])
import rich
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")
