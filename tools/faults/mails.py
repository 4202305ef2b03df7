"""Mail: the server is away, breaks off, talks nonsense; the worker dies while it sends."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tools.faults.client import Client
from tools.faults.deaths import pid_of
from tools.faults.harness import Harness, System
from tools.faults.oracle import Row, drain
from tools.faults.register import fault

PATH = "/v1/faults/mails"
_SENDING = """
SELECT job.worker_id FROM emails.emails AS mail JOIN jobs.jobs AS job ON job.resource_id = mail.id
WHERE mail.status = 'sending' AND mail.phase = 'data' AND job.state = 'running'
    AND job.begun_at > clock_timestamp() - interval '400 ms'
"""
KINDS = ["emails.deliver"]
_MAILS = """
SELECT mail.id, mail.message_id, mail.status, mail.when_uncertain, mail.attempts,
    extract(epoch FROM mail.sent_at - mail.created_at)::float AS wait
FROM emails.emails AS mail ORDER BY mail.created_at, mail.id
"""


@dataclass(frozen=True)
class Mail:
    """What became of one mail."""

    id: UUID
    message_id: str
    status: str
    when_uncertain: str
    attempts: int
    wait: float | None


async def send(client: Client, count: int, *, per_second: float = 50, **order: Any) -> None:
    """Hand in mails."""
    await client.load(
        count, per_second=per_second, order=lambda n: {"path": PATH, "to": f"p{n}@example.com", **order}
    )


async def mails(harness: Harness) -> list[Mail]:
    """Return every mail, the oldest first."""
    return [Mail(**dict(row)) for row in await harness.fetch(_MAILS)]


async def counted(harness: Harness) -> int:
    """Return how many attempts of jobs have failed."""
    return await harness.value("SELECT count(*) FROM jobs.attempts WHERE outcome IN ('failed', 'crashed')")


async def until_sent(harness: Harness, count: int, *, seconds: float) -> bool:
    """Wait until so many mails were sent."""
    asked = "SELECT count(*) FROM emails.emails WHERE status = 'sent'"
    return await harness.until_value(asked, count, seconds=seconds)


def count_up(row: Row, accepted: int, found: list[Mail], done: set[str]) -> None:
    """Fill in the figures; a mail is done in these states."""
    row.accepted += accepted
    row.done += sum(mail.status in done for mail in found)
    row.uncertain += sum(mail.status == "uncertain" for mail in found)
    row.lost += accepted - sum(mail.status in done | {"uncertain"} for mail in found)
    row.longest_wait = max([row.longest_wait, *(mail.wait or 0 for mail in found)])


@fault(12, "The mail server is down for two minutes", expected="0 failed, no attempt counted, sent in order")
async def the_mail_server_is_away(harness: Harness) -> Row:
    row = Row()
    down = harness.seconds(120, least=8)
    count = harness.count(1000, least=60)
    settings = {"TULOU_EMAILS_OUTAGE_SECONDS": "10", "TULOU_JOBS_OWNER_WAITING": "100000"}
    async with harness.system(queues=["mail"], **settings) as system, Client(system) as client:
        harness.mail.kill()
        await asyncio.gather(send(client, count), asyncio.sleep(down))
        await harness.mail.start()
        sent = await until_sent(harness, count, seconds=90)
        found = await mails(harness)
        attempts = await counted(harness)
        snoozes = await harness.value("SELECT count(*) FROM jobs.attempts WHERE outcome = 'snoozed'")
    count_up(row, len(client.accepted), found, {"sent"})
    row.expect(
        sent and attempts == 0, f"attempts counted {attempts}, {dict(Counter(m.status for m in found))}"
    )
    order = _in_order([mail.message_id for mail in found], harness.mail.accepted())
    row.expect(order > 0.9, f"{order:.0%} of all pairs arrived in the order of their acceptance")
    row.note(f"{snoozes / max(1, count):.1f} snoozes a mail")
    _once(row, harness)
    return row


def _in_order(sent: list[str], arrived: list[str]) -> float:
    """Return the share of pairs that arrived in the order in which they were sent."""
    place = {message_id: number for number, message_id in enumerate(arrived)}
    places = [place[message_id] for message_id in sent if message_id in place]
    pairs = [a < b for number, a in enumerate(places) for b in places[number + 1 :]]
    return sum(pairs) / max(1, len(pairs))


def _once(row: Row, harness: Harness) -> None:
    """Expect that no mail was taken twice."""
    twice = sum(count - 1 for count in harness.mail.received().values())
    row.doubled += twice


@fault(
    13,
    "The mail server breaks off after the final dot",
    expected="all uncertain; hold: 0 resends; resend: the same bytes with the same Message-ID",
)
async def the_reply_is_lost(harness: Harness) -> Row:
    row = Row()
    count = harness.count(100, least=10)
    async with harness.system(queues=["mail"]) as system, Client(system) as client:
        harness.mail.obey(drop_after_dot="once")
        await send(client, count, when_uncertain="hold")
        await send(client, count, when_uncertain="resend")
        await drain(harness, seconds=60, kinds=KINDS)
        found = await mails(harness)
        received, versions = harness.mail.received(), harness.mail.versions()
    count_up(row, len(client.accepted), found, {"sent"})
    held = [mail for mail in found if mail.when_uncertain == "hold"]
    again = [mail for mail in found if mail.when_uncertain == "resend"]
    row.doubled += sum(received[mail.message_id] - 1 for mail in held)
    row.expect({m.status for m in held} == {"uncertain"}, f"hold: {dict(Counter(m.status for m in held))}")
    row.expect({m.status for m in again} == {"sent"}, f"resend: {dict(Counter(m.status for m in again))}")
    resends = Counter(received[mail.message_id] for mail in again)
    row.expect(set(resends) == {2}, f"resend: number of mails by number of deliveries: {dict(resends)}")
    row.expect(set(versions.values()) == {1}, "each Message-ID came with the same bytes each time")
    return row


@fault(14, "SIGKILL of the worker during DATA", expected="no resend without confirmation")
async def the_worker_dies_while_sending(harness: Harness) -> Row:
    row, kills = Row(), 0
    count = harness.count(100, least=25)
    async with harness.system(queues=["mail"]) as system, Client(system) as client:
        harness.mail.obey(slow_dot=0.4)
        await send(client, count, when_uncertain="hold")
        rest = asyncio.create_task(drain(harness, seconds=150, kinds=KINDS))
        while not rest.done():
            await asyncio.wait([rest], timeout=harness.chance(0.1, 0.6))
            if not rest.done() and kills < count / 5:
                kills += await _kill_one_that_sends(harness, system)
        found = await mails(harness)
    count_up(row, len(client.accepted), found, {"sent"})
    _once(row, harness)
    row.expect(row.uncertain, f"{kills} kills left {row.uncertain} mails uncertain")
    return row


async def _kill_one_that_sends(harness: Harness, system: System) -> bool:
    """Kill a worker that has just begun to send a mail's content, and start it again; return whether there was one."""
    senders = {pid_of(row["worker_id"], parent=True) for row in await harness.fetch(_SENDING)}
    for worker in system.workers:
        if worker.pid in senders:
            worker.kill()
            worker.start()
            return True
    return False


MODES = {"defer": "deferred", "refuse": "failed", "garbage": "deferred", "banner": None, "silent": None}
"""What the mail server does, and what that makes of each mail. None: the breaker spares it the try."""


@fault(
    15,
    "The mail server answers 4xx, 5xx, garbage, a banner of 1 MB, nothing",
    expected="deferred, failed, deferred, waiting, waiting; then sent; memory bounded",
)
async def the_mail_server_misbehaves(harness: Harness) -> Row:
    row = Row()
    count = harness.count(100, least=8)
    settings = {"TULOU_JOBS_RETRY_LIMIT": "5"}
    async with harness.system(queues=["mail"], **settings) as system, Client(system) as client:
        await send(client, 4)
        await until_sent(harness, 4, seconds=20)
        before = _memory(system)
        for mode, fate in MODES.items():
            await _send_to_faulty_server(harness, row, client, mode, fate, count)
        after = _memory(system)
        found = await mails(harness)
    count_up(row, len(client.accepted), found, {"sent", "failed"})
    fates = Counter(mail.status for mail in found)
    row.expect(fates == {"sent": 4 * count + 4, "failed": count}, f"at the end {dict(fates)}")
    row.expect(after < before * 1.2 + 20, f"memory of the workers {before:.0f} MiB before, {after:.0f} after")
    _once(row, harness)
    return row


def _memory(system: System) -> float:
    return sum(worker.memory() for worker in system.workers)


async def _send_to_faulty_server(
    harness: Harness, row: Row, client: Client, mode: str, fate: str | None, count: int
) -> None:
    """Send mails while the server misbehaves, look what becomes of them, and let it behave again."""
    known = await harness.value("SELECT count(*) FROM emails.emails")
    harness.mail.obey(mode=mode)
    await send(client, count)
    if fate is None:
        await asyncio.sleep(5)
    else:
        new = f"(SELECT status FROM emails.emails ORDER BY created_at OFFSET {known})"
        asked = f"SELECT count(*) FROM {new} WHERE status = '{fate}'"
        reached = await harness.until_value(asked, count, seconds=30)
        row.expect(reached, f"{mode}: all {fate}")
    harness.mail.obey()
    left = "SELECT count(*) FROM emails.emails WHERE status NOT IN ('sent', 'failed')"
    row.expect(
        await harness.until_value(left, 0, seconds=40), f"{mode}: none waits once the server works again"
    )
