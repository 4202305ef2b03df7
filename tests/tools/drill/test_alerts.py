"""Each alert fires by its real cause, and stops when the cause is gone."""

from collections.abc import AsyncIterator

import pytest

from tools.drill.alerts import CAUSES
from tools.drill.drill import Drill, drill
from tools.drill.prometheus import rules


def test_each_alert_has_a_cause() -> None:
    assert set(CAUSES) == set(rules())


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Drill]:
    async with drill() as made:
        yield made


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", list(rules()))
async def test_an_alert_fires_by_its_cause_and_is_quiet_afterwards(running: Drill, name: str) -> None:
    assert name not in running.prometheus.firing
    async with CAUSES[name](running):
        silence = await running.wait_until_firing(name)
    assert silence is None
    await running.until_quiet(name)
