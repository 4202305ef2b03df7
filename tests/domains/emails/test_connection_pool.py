"""The connection pool: number of connections, order of reuse, and the definition of an outage."""

import asyncio

import pytest

from domains.emails.gateway.circuit_breaker import CircuitBreaker
from domains.emails.gateway.transport import (
    ServerUnreachable,
)
from tests.domains.emails.servers import (
    Sink,
    ehlo_then,
    gateway,
    letting_in,
    misbehaving,
    send,
    serving,
)


async def test_a_connection_is_used_again_and_closed_when_it_is_old():
    sink = Sink()
    async with serving(sink) as port:
        smtp = gateway(f"smtp://127.0.0.1:{port}")
        for _ in range(5):
            await send(smtp)
        await smtp.stop()
        assert (len(sink.mails), len(sink.connections)) == (5, 1)
        smtp = gateway(f"smtp://127.0.0.1:{port}", emails_idle_seconds=0)
        await send(smtp)
        await send(smtp)
        await smtp.stop()
    assert (len(sink.mails), len(sink.connections)) == (7, 3)


async def test_a_kept_connection_that_the_server_has_closed_costs_no_mail():
    sink = Sink()
    async with serving(sink, timeout=0.2) as port:
        smtp = gateway(f"smtp://127.0.0.1:{port}")
        await send(smtp)
        await asyncio.sleep(0.4)
        await send(smtp)
        await smtp.stop()
    assert (len(sink.mails), len(sink.connections)) == (2, 2)


async def test_two_mails_at_once_get_a_connection_each():
    sink = Sink()
    async with serving(sink) as port:
        smtp = gateway(f"smtp://127.0.0.1:{port}")
        for _ in range(3):
            await asyncio.gather(*(send(smtp) for _ in range(4)))
        await smtp.stop()
    assert (len(sink.mails), len(sink.connections)) == (12, 4)


@pytest.mark.parametrize("reply", [b"421 4.7.0 too many connections\r\n", b""])
async def test_a_server_that_lets_only_two_in_gets_all_mails_on_two_connections(reply):
    sink = Sink()
    async with serving(sink) as inner, letting_in(2, inner, reply) as (port, refused):
        smtp = gateway(f"smtp://127.0.0.1:{port}")
        for _ in range(5):
            await asyncio.gather(*(send(smtp) for _ in range(6)))
        assert not smtp.pause()
        await smtp.stop()
    assert (len(sink.mails), len(sink.connections)) == (30, 2)
    assert len(refused) < 10


async def test_who_waits_for_a_connection_in_vain_waits_no_longer_than_for_an_answer():
    sink = Sink()
    async with serving(sink) as inner, letting_in(1, inner, b"421 too many\r\n") as (port, _refused):
        smtp = gateway(f"smtp://127.0.0.1:{port}", emails_timeout_seconds=1)
        async with smtp.open_session(), asyncio.timeout(2.5):
            with pytest.raises(ServerUnreachable):
                await send(smtp)
            assert not smtp.pause()
        await send(smtp)
        await smtp.stop()
    assert len(sink.mails) == 1


async def test_connections_that_a_calmer_time_leaves_unused_are_closed():
    sink = Sink()
    async with serving(sink) as port:
        smtp = gateway(f"smtp://127.0.0.1:{port}", emails_idle_seconds=0.5)
        await asyncio.gather(*(send(smtp) for _ in range(4)))
        for _ in range(4):
            await asyncio.sleep(0.2)
            await send(smtp)
        assert sink.open == 1
        await smtp.stop()
    assert len(sink.connections) == 4


def test_an_outage_that_lasts_is_met_less_often_each_time_and_by_all_at_once():
    passed = 41.0
    outage = CircuitBreaker(longest=5, now=lambda: passed)
    moments = []
    for _ in range(5):
        outage.record_failure()
        passed += outage.pause().total_seconds()
        moments.append(passed)
    assert moments == [42, 44, 45, 50, 55]
    outage.record_success()
    assert not outage.pause()
    outage.record_failure()
    assert outage.pause().total_seconds() == 1


def test_a_clock_that_is_put_back_lets_nobody_wait_for_hours():
    passed = 7200.0
    outage = CircuitBreaker(longest=5, now=lambda: passed)
    outage.record_failure()
    passed = 0.0
    assert outage.pause().total_seconds() == 5


async def test_mails_that_meet_one_outage_at_a_time_count_as_one():
    async with misbehaving(ehlo_then) as port:
        pass
    smtp = gateway(f"smtp://127.0.0.1:{port}", emails_outage_seconds=60)
    await asyncio.gather(*(send(smtp) for _ in range(8)), return_exceptions=True)
    assert 0 < smtp.pause().total_seconds() <= 2  # the first pause; the eighth is a minute
