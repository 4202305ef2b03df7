"""Each rehearsal passes in a short form."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tools.drill import catalogue  # noqa: F401  # enters every rehearsal
from tools.drill.__main__ import happen
from tools.drill.register import REHEARSALS
from tools.faults.harness import Harness

IN_THEIR_OWN_TEST = {"alerts"}


@pytest.fixture(scope="module")
async def harness() -> AsyncIterator[Harness]:
    built = Harness(scale=0.1)
    try:
        await built.open()
        yield built
    finally:
        await asyncio.to_thread(built.close)


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", sorted(REHEARSALS.keys() - IN_THEIR_OWN_TEST))
async def test_a_rehearsal_passes(harness: Harness, name: str) -> None:
    result = await happen(harness, REHEARSALS[name])
    assert result.finding.is_green, result.finding
