"""A real SMTP server that delivers nothing and keeps every mail as a file.

Run it with `python -m tools.dev.mail_catcher --host 127.0.0.1 --port 2525 --directory mail`, or use
`MailCatcher` inside a test.
"""

import argparse
import asyncio
import itertools
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tools.dev.ports import LOOPBACK, choose_port

MAX_MAIL_BYTES = 50 * 1024 * 1024
OPTIONS: dict[str, Any] = {
    "data_size_limit": MAX_MAIL_BYTES,
    "enable_SMTPUTF8": True,
    "ident": "Tulou mail catcher",
}


class MailFolder:
    """Keeps each accepted mail in `directory` as one `.eml` file; the names sort by the time of arrival.

    The envelope goes on top, as the headers X-Peer, X-MailFrom and X-RcptTo (one for each recipient).
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._numbers = itertools.count()

    # aiosmtpd calls it by this name, with these arguments.
    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802
        """Write the mail down, then accept it (RFC 5321, section 4.2.5: from here on it is ours)."""
        path = await asyncio.to_thread(self._write, _envelope_headers(session, envelope) + _content(envelope))
        sys.stdout.write(f"mail to {', '.join(envelope.rcpt_tos)} kept in {path}\n")
        sys.stdout.flush()
        return "250 2.0.0 Kept"

    def _write(self, mail: bytes) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(self._numbers):06d}.eml"
        descriptor, temporary = tempfile.mkstemp(dir=self.directory, prefix=".arriving-")
        with os.fdopen(descriptor, "wb") as file:
            file.write(mail)
        # A reader sees the whole mail or none.
        return Path(temporary).rename(self.directory / name)


class MailCatcher:
    """The same server in a thread of this process: `start()`, send to `url`, read `directory`, `stop()`."""

    def __init__(self, directory: Path, *, port: int | None = None) -> None:
        self.directory = directory
        self._port = port
        self._controller: Controller | None = None

    @property
    def url(self) -> str:
        """The URL of the server: plain SMTP, no login."""
        return f"smtp://{LOOPBACK}:{self._port}"

    def start(self) -> None:
        """Start listening. Raises OSError when the port is taken."""
        if self._port is None:
            self._port = choose_port("mail", memory=self.directory.parent / "ports.json")
        self._controller = Controller(
            MailFolder(self.directory), hostname=LOOPBACK, port=self._port, **OPTIONS
        )
        self._controller.start()

    def stop(self) -> None:
        """Stop listening; the mails stay."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description="Keep every mail as a file instead of delivering it.")
    parser.add_argument("--host", default=LOOPBACK)
    parser.add_argument("--port", type=int, default=2525)
    parser.add_argument("--directory", type=Path, required=True)
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.host, arguments.port, arguments.directory))


async def _serve(host: str, port: int, directory: Path) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    folder = MailFolder(directory)
    server = await loop.create_server(lambda: SMTP(folder, loop=loop, **OPTIONS), host, port)
    await stopped.wait()
    server.close()


def _envelope_headers(session: Session, envelope: Envelope) -> bytes:
    peer = session.peer[0] if session.peer else ""
    headers = [("X-Peer", peer), ("X-MailFrom", envelope.mail_from or "")]
    headers += [("X-RcptTo", recipient) for recipient in envelope.rcpt_tos]
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode()


def _content(envelope: Envelope) -> bytes:
    content = envelope.content or b""
    return content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")


if __name__ == "__main__":
    main()
