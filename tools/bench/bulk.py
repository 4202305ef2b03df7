"""Sends or receives one large body on a plain socket, and prints the seconds that it took. No client costs less."""

import socket
import sys
import time
from pathlib import Path

_PIECE = 1 << 20


def main() -> None:
    """Arguments: port, file with the request's head, `send` and a file with the body, or `receive`."""
    port, head, what = int(sys.argv[1]), Path(sys.argv[2]).read_bytes(), sys.argv[3]
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        begun = time.perf_counter()
        connection.sendall(head)
        if what == "send":
            with Path(sys.argv[4]).open("rb") as body:
                connection.sendfile(body)
        status, received = _receive(connection)
        sys.stdout.write(f"{status} {received} {time.perf_counter() - begun}")


def _receive(connection: socket.socket) -> tuple[int, int]:
    """Return the status and how many bytes of body came."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError("the server closed the connection")
        answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    received, buffer = len(body), memoryview(bytearray(_PIECE))
    while received < length:
        received += connection.recv_into(buffer) or sys.exit("the server closed the connection")
    return int(head[9:12]), received


if __name__ == "__main__":
    main()
