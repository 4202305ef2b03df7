"""SMTP servers in this process, correct and hostile ones, and a gateway to them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiosmtpd.smtp import SMTP

from domains.emails.gateway.smtp import SmtpGateway
from domains.emails.gateway.transport import (
    Envelope,
    Reply,
)
from domains.emails.settings import EmailsSettings, parse_smtp_url

MAIL = b"Subject: Hello\r\n\r\nHello\r\n"


class Sink:
    """Takes mails, or answers what the test wants."""

    def __init__(self, **replies: str) -> None:
        self.replies = replies
        self.mails: list[tuple[str, list[str], bytes]] = []
        self.connections: set[int] = set()
        self.open = 0

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802
        self.connections.add(id(session.peer) and session.peer[1])
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self.replies.get("mail", "250 OK")

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        envelope.rcpt_tos.append(address)
        return self.replies.get("rcpt", "250 OK")

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        if "data" not in self.replies:
            self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return self.replies.get("data", "250 2.0.0 Kept")


@asynccontextmanager
async def serving(sink: Sink, **options: object) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()

    class Session(SMTP):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            sink.open += 1
            super().connection_made(transport)

        def connection_lost(self, error: Exception | None) -> None:
            sink.open -= 1
            super().connection_lost(error)

    server = await loop.create_server(lambda: Session(sink, loop=loop, **options), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def misbehaving(talk: Talk) -> AsyncIterator[int]:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def letting_in(most: int, port: int, reply: bytes) -> AsyncIterator[tuple[int, list[None]]]:
    """A server before another one, that lets only so many in at a time; what it tells the others, and how many."""
    inside, refused = 0, []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal inside
        if inside >= most:
            refused.append(None)
            writer.write(reply)
            writer.close()
            return
        inside += 1
        try:
            there, back = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(pass_on(reader, back), pass_on(there, writer), return_exceptions=True)
        finally:
            inside -= 1

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], refused


def gateway(url: str, **given: object) -> SmtpGateway:
    settings = EmailsSettings(**{"emails_timeout_seconds": 2, "emails_data_timeout_seconds": 2, **given})
    return SmtpGateway(parse_smtp_url(url), settings=settings, local_hostname="[127.0.0.1]")


async def send(smtp: SmtpGateway, content: bytes = MAIL, recipient: str = "ann@example.com") -> Reply:
    async with smtp.open_session() as session:
        await session.send_envelope(Envelope("us@example.com", recipient, len(content)))
        return await session.deliver(content)


async def ehlo_then(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Talk like a plain server up to the end of the content."""
    writer.write(b"220 hello\r\n")
    while (line := await reader.readline()) and not line.upper().startswith(b"DATA"):
        writer.write(b"250 fine\r\n")
    writer.write(b"354 go on\r\n")
    while (await reader.readline()) not in {b".\r\n", b""}:
        pass
