"""Mails that a worker process hands to a mail server, beside `smtplib` with `EmailMessage`.

The transports are compared: both only send. The cost of durable mail is reported beside them.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import asyncpg

from bootstrap.settings.model import Settings
from domains.emails.gateway.smtp import SmtpGateway
from domains.emails.gateway.transport import Envelope
from domains.emails.public import OutgoingMail
from domains.emails.settings import EmailsSettings, parse_smtp_url
from tools.bench.figures import Figures
from tools.bench.system import Program
from tools.bench.workplace import Workplace

ROUNDS = 5
MAILS = 300
_LIMIT_SECONDS = 60
_LOOK_SECONDS = 0.05
_SENT = (
    "SELECT count(*) AS sent, extract(epoch FROM max(sent_at) - min(sent_at))::float8 AS seconds"
    " FROM emails.emails WHERE sent_at IS NOT NULL AND created_at > $1"
)


async def measure_mail(place: Workplace, figures: Figures) -> None:
    """Send by a worker with one child, by its transport alone, and by `smtplib`."""
    transports, workers, floors = [], [], []
    async with _sink() as port:
        worker = Program(
            "tools.bench.mail_worker",
            folder=place.folder,
            environment={
                **place.environment,
                "TULOU_WORKER_CONCURRENCY": "1",
                "SMTP_URL": f"smtp://127.0.0.1:{port}",
            },
        )
        try:
            await _drain(place, worker, 20)
            for _ in range(ROUNDS):
                floors.append(await _floor(port))
                transports.append(await _transport(port))
                workers.append(await _drain(place, worker, MAILS))
        finally:
            await asyncio.to_thread(worker.stop)
    figures.told("mail", "smtplib + EmailMessage", floors, "a second")
    figures.told("mail", "the transport, ready bytes", transports, "a second")
    figures.told("mail", "durable, one worker child", workers, "a second")
    figures.at_least("mail", "the transport to smtplib", _ratios(transports, floors), 4)
    figures.told("mail", "a durable worker child to smtplib", _ratios(workers, floors))


@asynccontextmanager
async def _sink() -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tools.bench.sink", stdout=asyncio.subprocess.PIPE
    )
    try:
        if process.stdout is None:
            raise RuntimeError("the sink has no output")
        yield int(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()


async def _floor(port: int) -> float:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tools.bench.floors.mail", str(port), str(MAILS), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return float(said)


async def _transport(port: int) -> float:
    """Deliver ready bytes, as many mails at a time as a worker's child does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tools.bench.mails", str(port), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return float(said)


async def _deliver(port: int) -> float:
    server = parse_smtp_url(f"smtp://127.0.0.1:{port}?starttls=off")
    gateway = SmtpGateway(server, settings=EmailsSettings(), local_hostname="bench")
    content = b"Subject: A new sign-in\r\n\r\n" + b"A line of middling length, as mails have many.\r\n" * 60

    async def slot(mails: int) -> None:
        for _ in range(mails):
            async with gateway.open_session() as session:
                await session.send_envelope(Envelope("house@example.com", "person@example.com", len(content)))
                await session.deliver(content)

    slots: int = Settings.model_fields["worker_mails"].default
    begun = time.perf_counter()
    await asyncio.gather(*(slot(MAILS) for _ in range(slots)))
    seconds = time.perf_counter() - begun
    await gateway.stop()
    return MAILS * slots / seconds


async def _drain(place: Workplace, worker: Program, number: int) -> float:
    """Accept mails while the worker is frozen, then let it send them."""
    observer = await asyncpg.connect(place.system.postgres.superuser_url)
    try:
        begun = await observer.fetchval("SELECT now()")
        mailer = place.container.emails.mailer()
        prepared = [mailer.prepare(_mail(each)) for each in range(number)]
        worker.freeze()
        for each in prepared:
            await mailer.send(each)
        worker.thaw()
        async with asyncio.timeout(_LIMIT_SECONDS):
            while True:
                found = await observer.fetchrow(_SENT, begun)
                if found["sent"] >= number:
                    return (number - 1) / max(0.001, found["seconds"])
                worker.require_alive()
                await asyncio.sleep(_LOOK_SECONDS)
    finally:
        await observer.close()


def _mail(each: int) -> OutgoingMail:
    variables = {
        "url": "https://example.com/verify?token=once",
        "lifetime": "24 hours",
        "moment": datetime.now(UTC),
        "name": "Ada",
    }
    return OutgoingMail(template="auth/verify_email", to=f"person{each}@example.com", variables=variables)


def _ratios(ours: list[float], floors: list[float]) -> list[float]:
    return [each / floor for each, floor in zip(ours, floors, strict=True)]


if __name__ == "__main__":
    sys.stdout.write(str(asyncio.run(_deliver(int(sys.argv[1])))))
