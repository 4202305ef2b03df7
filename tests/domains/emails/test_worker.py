"""The number of mails that a worker delivers at the same time."""

import asyncio

import pytest
from aiosmtpd.smtp import SMTP

from domains.emails.public import OutgoingMail
from shared.ids import new_id


class SlowMailServer:
    """Takes its time over each mail, and notes how many it had at a time."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.most = 0
        self._now = 0

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(0.3)
        self._now -= 1
        self.taken.update(envelope.rcpt_tos)
        return "250 2.0.0 Kept"


@pytest.mark.parametrize("mails", [1, 3])
async def test_a_child_has_as_many_mails_under_way_as_the_settings_say(
    mails, programs, composition, work_off
) -> None:
    await work_off()  # what other tests have left waiting
    loop, slow, mailer = asyncio.get_running_loop(), SlowMailServer(), composition.emails.mailer()
    server = await loop.create_server(lambda: SMTP(slow, loop=loop), "127.0.0.1", 0)
    async with server:
        readers = {f"reader-{new_id().hex}@example.com" for _ in range(6)}
        for reader in readers:
            variables = {"forgot_url": "https://example.com/", "name": "Ada"}
            mail = OutgoingMail(template="auth/password_changed", to=reader, variables=variables)
            await mailer.send(mailer.prepare(mail))
        worker = programs(
            "worker",
            "--queue",
            "mail",
            SMTP_URL=f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}?starttls=off",
            TULOU_WORKER_CONCURRENCY="1",
            TULOU_WORKER_MAILS=str(mails),
        )
        async with asyncio.timeout(60):
            while not readers <= slow.taken:
                await asyncio.sleep(0.05)
        assert slow.most == mails
        await asyncio.to_thread(worker.stop)
