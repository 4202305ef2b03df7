"""The capacity table follows from the measured figures, and the page shows the latest of them."""

from tools.bench.capacity import PAGE, part_of, read
from tools.bench.needs import CONNECTIONS, MIX, POOL, Cost, Measured, needs
from tools.bench.scaling_page import with_measured_part


def measured(*, api: float, database: float) -> Measured:
    return Measured("a machine.", [Cost(operation, api, database) for operation in MIX])


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text()
    assert with_measured_part(page, part_of(read())) == page, "run `python -m tools.bench.capacity`"


def test_the_mix_is_whole_and_measured() -> None:
    assert sum(MIX.values()) == 1
    assert {cost.operation for cost in read().costs} == set(MIX)
    assert all(cost.api > 0 and cost.database > 0 for cost in read().costs)


def test_needs_follow_from_costs() -> None:
    rows = {row.rate: row for row in needs(measured(api=600, database=60))}
    assert [rows[rate].processes for rate in (100, 1_000, 10_000, 100_000)] == [2, 2, 10, 100]
    assert [rows[rate].database_cores for rate in (100, 10_000, 1_000_000)] == [1, 1, 100]
    assert rows[1_000].connections == 2 * POOL


def test_what_breaks_first_comes_in_its_order() -> None:
    broken = [row.breaks for row in needs(measured(api=600, database=60))]
    signs = ("nothing", "nothing", f"`max_connections` ({CONNECTIONS})", "`max_connections`", "one primary")
    assert [row.startswith(sign) for row, sign in zip(broken, signs, strict=True)] == [True] * 5


def test_a_dearer_database_breaks_earlier() -> None:
    rows = {row.rate: row for row in needs(measured(api=600, database=6_000))}
    assert rows[10_000].breaks.startswith("one primary")
    assert rows[10_000].remedy.startswith("2 installations")
