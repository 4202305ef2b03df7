"""An SMTP server in a process of its own, that misbehaves as it is told and counts what it was given.

It obeys the file `orders.json`, read anew at each step, and writes each mail whose final dot it has seen to
`received.log`, each that it has accepted to `accepted.log`: Message-ID and digest of the bytes.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import random
import signal
from pathlib import Path
from typing import Any


class Mailbox:
    """Orders and records, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: set[str] = set()

    def order(self, name: str, otherwise: Any = None) -> Any:
        """Return an order."""
        try:
            return json.loads((self.folder / "orders.json").read_text()).get(name, otherwise)
        except (OSError, ValueError):
            return otherwise

    def note(self, log: str, content: bytes) -> str:
        """Write a mail down; return its Message-ID."""
        message_id = next(
            line.split(b":", 1)[1].strip().decode()
            for line in content.split(b"\r\n")
            if line.lower().startswith(b"message-id:")
        )
        with (self.folder / f"{log}.log").open("a") as file:
            file.write(f"{message_id} {hashlib.sha256(content).hexdigest()}\n")
        return message_id


class SmtpSession:
    """One connection."""

    def __init__(self, mailbox: Mailbox, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._mailbox = mailbox
        self._reader = reader
        self._writer = writer

    async def run(self) -> None:
        """SmtpSession until one side has had enough."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if await self._greet():
                while line := await self._reader.readline():
                    if not await self._obey(line.strip()):
                        break
        self._writer.close()

    async def _greet(self) -> bool:
        mode = self._mailbox.order("mode")
        if mode == "silent":
            await asyncio.sleep(600)
            return False
        if mode == "banner":
            self._writer.write(b"220-" + b"x" * (1 << 20) + b"\r\n")
            await self._writer.drain()
        if mode == "garbage":
            await self._say(random.randbytes(200).replace(b"\n", b" "))
            return True
        await self._say(b"220 ready")
        return True

    async def _obey(self, line: bytes) -> bool:
        word = line[:4].upper()
        mode = self._mailbox.order("mode")
        if mode == "garbage":
            await self._say(random.randbytes(100).replace(b"\n", b" "))
        elif word == b"EHLO":
            await self._say(b"250-here\r\n250 SIZE 10000000")
        elif word == b"DATA":
            await self._say(b"354 go on")
            return await self._take(await self._reader.readuntil(b"\r\n.\r\n"))
        elif word == b"QUIT":
            await self._say(b"221 bye")
            return False
        elif word == b"RCPT" and mode == "defer":
            await self._say(b"451 4.3.0 later")
        elif word == b"RCPT" and mode == "refuse":
            await self._say(b"550 5.1.1 nobody here")
        else:
            await self._say(b"250 well")
        return True

    async def _take(self, content: bytes) -> bool:
        message_id = self._mailbox.note("received", content)
        again, _ = message_id in self._mailbox.seen, self._mailbox.seen.add(message_id)
        drops = self._mailbox.order("drop_after_dot")
        if drops == "always" or (drops == "once" and not again):
            self._writer.transport.abort()
            return False
        await asyncio.sleep(self._mailbox.order("slow_dot", 0))
        if self._reader.at_eof():
            return False
        self._mailbox.note("accepted", content)
        await self._say(b"250 2.0.0 taken")
        return True

    async def _say(self, line: bytes) -> None:
        self._writer.write(line + b"\r\n")
        await self._writer.drain()


async def serve(folder: Path, port: int) -> None:
    """Serve until SIGTERM."""
    mailbox = Mailbox(folder)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await SmtpSession(mailbox, reader, writer).run()

    server = await asyncio.start_server(handle, "127.0.0.1", port, limit=1 << 24)
    print("listening", flush=True)  # tells the harness
    await stopped.wait()
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.folder, arguments.port))
