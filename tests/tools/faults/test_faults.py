"""The riskiest faults in a short form, and a failing check turns the table red."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tools.faults import catalogue  # noqa: F401  # enters every fault
from tools.faults.__main__ import happen
from tools.faults.attacks.register import Attack, Finding, Memory
from tools.faults.attacks.report import Outcome
from tools.faults.attacks.report import as_table as attacks_as_table
from tools.faults.harness import Harness
from tools.faults.oracle import Row
from tools.faults.register import FAULTS
from tools.faults.report import Result, as_table, write_attacks, write_page
from tools.faults.wake_ups_alone import wake_ups_alone

RISKIEST = (1, 2, 3, 6, 7, 11, 13, 18, 22, 23)
LONG = {2, 7}
"""A child killed instead of its worker, and a Valkey that is away for long."""


@pytest.fixture(scope="module")
async def harness() -> AsyncIterator[Harness]:
    built = Harness(scale=0.05, lease=2)
    try:
        await built.open()
        yield built
    finally:
        await asyncio.to_thread(built.close)


def test_there_are_twenty_four_faults() -> None:
    assert sorted(FAULTS) == list(range(1, 25))


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(
            number,
            marks=[pytest.mark.long] if number in LONG else [],
            id=f"{number} {FAULTS[number].title}",
        )
        for number in RISKIEST
    ],
)
async def test_a_fault_is_survived(harness: Harness, number: int) -> None:
    result = await happen(harness, FAULTS[number])
    assert result.row.accepted
    assert result.row.is_green, result.row


async def test_without_the_fence_a_worker_that_wakes_up_doubles_effects(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULTS_BUG", "no_fence")
    result = await happen(harness, FAULTS[3])
    assert result.row.doubled, result.row
    assert result.verdict == "NOT SURVIVED"


async def test_wake_ups_alone_start_every_job(harness: Harness) -> None:
    row = await wake_ups_alone(harness)
    assert row.accepted
    assert row.is_green, row


async def test_wake_ups_before_the_commit_lose_jobs_without_a_relay(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULTS_BUG", "early_wake_up")
    row = await wake_ups_alone(harness)
    assert row.accepted
    assert row.lost, row


def test_the_page_tells_what_was_not_survived(tmp_path) -> None:
    good = Result(FAULTS[1], Row(accepted=5, done=5))
    bad = Result(FAULTS[2], Row(accepted=5, done=4, lost=1, broken=["one is missing"]))
    write_page(tmp_path / "page.md", [good, bad], [], scale=1, seed=1)
    page = (tmp_path / "page.md").read_text()
    assert "1 of 2 faults survived" in page
    assert "NOT AS EXPECTED: one is missing" in page
    assert as_table([good, bad]).row_count == 2


def test_the_page_tells_which_attack_was_not_withstood(tmp_path) -> None:
    attack = Attack("greed", "Greed", "nobody is hurt", lambda _house: None)
    calm = Finding(memory=Memory(before=100, peak=180, after=150, after_again=160), waits=[0.01] * 50)
    worst = Finding(memory=Memory(before=100, peak=260, after=150, after_again=170), waits=[0.3] * 50)
    for finding in (calm, worst):
        finding.judge()
    outcomes = [Outcome(attack, calm), Outcome(attack, worst)]
    write_page(tmp_path / "page.md", [], outcomes, scale=1, seed=1)
    page = (tmp_path / "page.md").read_text()
    assert "1 of 2 attacks withstood" in page
    for figure in ("memory grew by 160 MiB at most", "a second round added 20 MiB", "300 ms"):
        assert f"NOT AS EXPECTED: {figure}" in page or figure in page
    assert len(worst.broken) == 3
    write_attacks(tmp_path / "page.md", outcomes[:1])
    again = (tmp_path / "page.md").read_text()
    assert "1 of 1 attacks withstood" in again
    assert again.count("## ") == page.count("## ")
    assert attacks_as_table(outcomes).row_count == 2
