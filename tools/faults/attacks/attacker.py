"""The attacker, as a process of its own: `python -m tools.faults.attacks.attacker NAME ARGUMENTS`.

It ends after `seconds` and prints how often each status was answered.
"""

import asyncio
import contextlib
import json
import re
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

_ADDRESS = "127.0.0.9"
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_HOST = b"Host: 127.0.0.1\r\n"
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Attacker:
    """Opens connections and holds them. `answers` counts statuses, and connections that were cut off."""

    def __init__(self, port: int, seconds: float, token: str) -> None:
        self.port = port
        self.seconds = seconds
        self.token = token.encode()
        self.answers: Counter[str] = Counter()

    async def connect(self) -> Connection | None:
        """Open a connection; None: it was refused."""
        try:
            return await asyncio.open_connection(
                "127.0.0.1", self.port, local_addr=(_ADDRESS, 0), limit=1 << 16
            )
        except OSError:
            self.answers["not connected"] += 1
            return None

    async def say(self, connection: Connection, data: bytes) -> None:
        """Send what the server takes in until the time is over."""
        _, writer = connection
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await writer.drain()

    async def listen(self, connection: Connection) -> None:
        """Read, and count statuses, until the server closes."""
        reader, _ = connection
        rest = b""
        while True:
            try:
                data = await reader.read(1 << 16)
            except ConnectionError:
                self.answers["cut off"] += 1
                return
            if not data:
                return
            self.answers.update(found.decode() for found in _STATUS.findall(rest + data))
            rest = data[-12:] if not _STATUS.search(data[-12:]) else b""

    @property
    def authorization(self) -> bytes:
        """The field that shows who is calling."""
        return b"Authorization: Bearer " + self.token + b"\r\n"


async def pipelining(attacker: Attacker, *, connections: int, requests: int) -> None:
    """Let thousands of requests follow a slow one on each connection."""
    body = b'{"email": "attacker@example.com", "password": "correct horse battery staple 42"}'
    slow = (
        b"POST /v1/auth/register HTTP/1.1\r\n"
        + _HOST
        + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        + body
    )
    many = (b"GET /v1/users/me HTTP/1.1\r\n" + _HOST + b"\r\n") * requests

    async def one() -> None:
        connection = await attacker.connect()
        if connection is not None:
            await asyncio.gather(attacker.say(connection, slow + many), attacker.listen(connection))

    await asyncio.gather(*(one() for _ in range(connections)))


async def holding(attacker: Attacker, *, connections: int, path: str) -> None:
    """Ask for something on each connection, and read no more of the answer than its first line."""
    head = f"GET {path} HTTP/1.1\r\n".encode() + _HOST + attacker.authorization + b"\r\n"
    await _all(attacker, connections, head)


async def sending(attacker: Attacker, *, connections: int, head: str, begin: str, size: int) -> None:
    """Send a request's head and the first `size` bytes of its body on each connection, and then nothing."""
    fields = head.encode() + _HOST + attacker.authorization + b"\r\n"
    body = begin.encode() + b"a line of text\n" * (size // 15)
    await _all(attacker, connections, fields + body)


async def connecting(attacker: Attacker, *, connections: int) -> None:
    """Open connections and say nothing."""
    await _all(attacker, connections, b"")


async def _all(attacker: Attacker, connections: int, data: bytes) -> None:
    await asyncio.gather(*(_hold(attacker, data) for _ in range(connections)))


async def _hold(attacker: Attacker, data: bytes) -> None:
    """Send, count what is answered, and hold the connection until the time is over."""
    connection = await attacker.connect()
    if connection is None:
        return
    saying = asyncio.create_task(attacker.say(connection, data))
    try:
        line = await connection[0].readline()
        attacker.answers[line[9:12].decode() or "closed"] += 1
        await asyncio.sleep(attacker.seconds)
    except ConnectionError:
        attacker.answers["cut off"] += 1
    except asyncio.CancelledError:
        attacker.answers["held"] += 1
        raise
    finally:
        saying.cancel()


async def uploading(attacker: Attacker, *, connections: int, boundary: str, size: int) -> None:
    """Upload forms that are full of their boundary, with an Idempotency-Key each, again and again."""
    begin = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    body = begin.encode() + boundary.encode() * size + f"\r\n--{boundary}--\r\n".encode()
    head = b"POST /v1/files HTTP/1.1\r\n" + _HOST + attacker.authorization
    head += f"Content-Type: multipart/form-data; boundary={boundary}\r\n".encode()

    async def one(number: int) -> None:
        for turn in range(1000):
            connection = await attacker.connect()
            if connection is None:
                return
            key = f"Idempotency-Key: {number}-{turn}-{attacker.seconds}\r\nConnection: close\r\n"
            length = f"Content-Length: {len(body)}\r\n\r\n"
            data = head + key.encode() + length.encode() + body
            await asyncio.gather(attacker.say(connection, data), attacker.listen(connection))
            connection[1].close()

    await asyncio.gather(*(one(number) for number in range(connections)))


ATTACKS: dict[str, Callable[..., Awaitable[None]]] = {
    each.__name__: each for each in (pipelining, holding, sending, connecting, uploading)
}


async def _attack(name: str, *, port: int, seconds: float, token: str, **arguments: Any) -> Counter[str]:
    attacker = Attacker(port, seconds, token)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await ATTACKS[name](attacker, **arguments)
    return attacker.answers


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_attack(sys.argv[1], **json.loads(sys.argv[2])))))  # its result
