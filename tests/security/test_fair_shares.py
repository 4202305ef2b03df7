"""An address is admitted only while it has less than what is free, so several greedy ones leave room for others."""

import asyncio

import pytest

from bootstrap.api.protocol.connections import Connections, NoConnectionFree, TooManyConnections
from shared.http.concurrency import Activity, Allowance, Busy, Concurrency, TooManyInProgress

PROCESS = 64
PROXY = "198.51.100.1"


def fill(concurrency: Concurrency, address: str, *, at_most: int = PROCESS) -> int:
    """Begin uploads until one is refused; return how many are in progress."""
    for number in range(at_most):
        try:
            concurrency.enter(Activity.UPLOAD, account=None, address=address)
        except (TooManyInProgress, Busy):
            return number
    return at_most


@pytest.fixture
def concurrency() -> Concurrency:
    return Concurrency({Activity.UPLOAD: Allowance(account=16, address=32, process=PROCESS)})


@pytest.mark.parametrize("greedy", [1, 2, 3, 5])
def test_greedy_addresses_leave_room_for_a_newcomer(concurrency: Concurrency, greedy: int) -> None:
    for number in range(greedy):
        assert fill(concurrency, f"203.0.113.{number}") > 0
    free = PROCESS - concurrency.in_progress(Activity.UPLOAD)
    assert free >= PROCESS >> greedy
    assert fill(concurrency, "192.0.2.1", at_most=1) == 1


def test_addresses_that_compete_end_at_equal_shares(concurrency: Concurrency) -> None:
    greedy = [f"203.0.113.{number}" for number in range(3)]
    shares = dict.fromkeys(greedy, 0)
    for _ in range(PROCESS):
        for address in greedy:
            shares[address] += fill(concurrency, address, at_most=1)
    assert set(shares.values()) == {16}
    assert concurrency.in_progress(Activity.UPLOAD) == 48


def test_the_refusal_says_how_many_are_free(concurrency: Concurrency) -> None:
    for address in ("203.0.113.1", "203.0.113.2"):
        fill(concurrency, address)
    with pytest.raises(
        TooManyInProgress, match="16 uploads in progress, and only 16 more are free"
    ) as refused:
        concurrency.enter(Activity.UPLOAD, account=None, address="203.0.113.2")
    assert refused.value.status == 429
    assert refused.value.extensions == {"activity": "uploads", "limit": 16, "level": "address"}


def test_a_full_process_is_not_the_fault_of_an_address() -> None:
    full = Concurrency({Activity.UPLOAD: Allowance(account=1, address=1, process=1)})
    assert fill(full, "203.0.113.1") == 1
    with pytest.raises(Busy):
        full.enter(Activity.UPLOAD, account=None, address="203.0.113.2")


class Held:
    """A connection that leaves in the next moment after it was closed."""

    has_unread = False

    def __init__(self, *, is_idle: bool) -> None:
        self.is_idle = is_idle
        self.is_closed = False

    def close_idle(self) -> None:
        self.is_closed = True


def connections(most: int = 64) -> Connections:
    return Connections(most=most, per_address=most // 2, is_proxy=lambda address: address == PROXY)


def connect(held: Connections, address: str, number: int, *, is_idle: bool = False) -> list[Held]:
    """Open so many; return those that were admitted."""
    opened = [Held(is_idle=is_idle) for _ in range(number)]
    return [each for each in opened if held.add(each, address) is None]


async def test_greedy_addresses_leave_connections_for_a_newcomer() -> None:
    held = connections()
    counts = [len(connect(held, f"203.0.113.{number}", 64)) for number in range(3)]
    assert counts == [32, 16, 8]
    assert len(connect(held, "192.0.2.1", 1)) == 1
    refused = held.add(Held(is_idle=False), "203.0.113.2")
    assert isinstance(refused, TooManyConnections)
    assert refused.detail.startswith("Your address has 8 connections open, and only 7 are free")


async def test_an_idle_connection_of_the_greediest_makes_room_for_one_beyond_the_share() -> None:
    held = connections()
    idle = connect(held, "203.0.113.1", 32, is_idle=True)
    assert len(connect(held, "203.0.113.2", 18)) == 18
    assert [each.is_closed for each in idle[:3]] == [True, True, False]


async def test_a_trusted_proxy_may_have_all() -> None:
    held = connections()
    proxied = connect(held, PROXY, 64)
    assert len(proxied) == 64
    assert isinstance(held.add(Held(is_idle=False), "192.0.2.1"), NoConnectionFree)


async def test_an_idle_connection_of_a_proxy_makes_no_room_for_one_beyond_the_share() -> None:
    held = connections()
    proxied = connect(held, PROXY, 40, is_idle=True)
    assert len(connect(held, "203.0.113.2", 64)) == 12
    assert not any(each.is_closed for each in proxied)


async def test_a_place_is_freed_once_and_only_so_many_descriptors_may_be_closing() -> None:
    held = connections(most=8)
    idle = connect(held, PROXY, 8, is_idle=True)
    newcomers = [Held(is_idle=False) for _ in range(8)]
    admitted = [each for each in newcomers if held.add(each, PROXY) is None]
    assert len(admitted) == sum(each.is_closed for each in idle) == 4
    for each in idle[:4]:
        held.remove(each, PROXY)
    await asyncio.sleep(0)
    assert len(connect(held, PROXY, 8)) == 4
