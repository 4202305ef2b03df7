"""Sources of metrics are read rarely and concurrently, and a slow one does not delay the others."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prometheus_client.registry import Collector

from bootstrap.observability import exposition as module
from bootstrap.observability.exposition import Exposition
from bootstrap.observability.families import gauge
from shared.errors import DatabaseUnavailable
from tests.bootstrap.test_metrics import samples


class Own(Collector):
    """A process that knows nothing of itself."""

    def collect(self) -> Any:
        return []


class Source:
    """Counts how often it is asked, and does what a test says before it answers."""

    fresh_for = 60.0

    def __init__(self, before: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(0)) -> None:
        self.asked = 0
        self.before = before

    async def read(self) -> Any:
        self.asked += 1
        await self.before()
        return [gauge("things", "Things.", [], [([], self.asked)])]


async def fails(error: Exception) -> None:
    raise error


def expire(exposition: Exposition) -> None:
    for cached in exposition._cached:
        cached._fresh_until = 0


async def test_many_scrapes_ask_once() -> None:
    source = Source()
    exposition = Exposition(Own(), {"things": source})
    answers = await asyncio.gather(*(exposition.text() for _ in range(20)))
    assert source.asked == 1
    assert len(set(answers)) == 1


async def test_all_sources_are_asked_at_the_same_time() -> None:
    all_asked = asyncio.Barrier(3)
    exposition = Exposition(Own(), {name: Source(all_asked.wait) for name in ("one", "two", "three")})
    found = samples(await exposition.text())
    assert [found["tulou_metrics_up", name] for name in ("one", "two", "three")] == [1, 1, 1]


@pytest.mark.parametrize(
    "error", [DatabaseUnavailable(), TimeoutError(), ConnectionRefusedError(), KeyError("nobody foresaw it")]
)
async def test_numbers_that_cannot_be_read_are_missing_and_said_to_be(error: Exception) -> None:
    source = Source()
    exposition = Exposition(Own(), {"things": source, "others": Source()})
    await exposition.text()
    source.before = lambda: fails(error)
    expire(exposition)
    assert samples(await exposition.text()) == {
        ("tulou_metrics_up", "things"): 0,
        ("tulou_metrics_up", "others"): 1,
        ("things",): 2,
    }


async def test_a_source_that_failed_is_asked_again_soon() -> None:
    source = Source(lambda: fails(DatabaseUnavailable()))
    exposition = Exposition(Own(), {"things": source})
    before = asyncio.get_running_loop().time()
    await exposition.text()
    assert exposition._cached[0]._fresh_until < before + source.fresh_for / 2


async def test_a_source_that_cannot_be_interrupted_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    let_go = asyncio.Event()

    async def hang() -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    stuck, well = Source(hang), Source()
    exposition = Exposition(Own(), {"stuck": stuck, "well": well})
    for _ in range(3):
        expire(exposition)
        found = samples(await exposition.text())
        assert (found["tulou_metrics_up", "stuck"], found["tulou_metrics_up", "well"]) == (0, 1)
    assert stuck.asked == 1, "asked again while it was still at work"
    let_go.set()
    async with asyncio.timeout(10):
        while not samples(await exposition.text())["tulou_metrics_up", "stuck"]:
            expire(exposition)
            await asyncio.sleep(0.01)
