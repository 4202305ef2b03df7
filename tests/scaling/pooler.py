"""PgBouncer in transaction mode with few connections, and another connection for each transaction."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tests.programs import free_port
from tools.dev.account import server_account
from tools.dev.folders import give_to
from tools.dev.processes import ServerProcess

PROGRAM = os.environ.get("PGBOUNCER") or shutil.which(
    "pgbouncer", path=f"{os.defpath}:/usr/sbin:/usr/local/bin"
)
FIRST_THAT_PREPARES = (1, 21)
CONFIGURATION = """\
[databases]
* = host={host} port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = 4
server_round_robin = 1
server_reset_query =
max_client_conn = 500
{more}
"""


def version() -> tuple[int, int]:
    """Return the program's version."""
    assert PROGRAM is not None
    told = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = re.findall(r"\d+", told)[:2]
    return int(major), int(minor)


class PgBouncer:
    """Stands before the server of `url`, for that URL's role."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = urlsplit(url)
        self._port = free_port()
        self._process: ServerProcess | None = None

    @property
    def url(self) -> str:
        """The same database, by way of it."""
        login = self._url.netloc.rpartition("@")[0]
        return urlunsplit(self._url._replace(netloc=f"{login}@127.0.0.1:{self._port}"))

    def start(self) -> None:
        """Start it. It refuses to run as root, as PostgreSQL does."""
        account = server_account()
        self._folder.mkdir(parents=True, exist_ok=True)
        users, configuration = self._folder / "users.txt", self._folder / "pgbouncer.ini"
        users.write_text(f'"{self._url.username}" "{self._url.password}"\n')
        configuration.write_text(
            CONFIGURATION.format(
                host=self._url.hostname,
                server_port=self._url.port,
                port=self._port,
                users=users,
                more="max_prepared_statements = 200" if version() >= FIRST_THAT_PREPARES else "",
            )
        )
        for path in (self._folder, users, configuration):
            give_to(account, path)
        self._process = ServerProcess(
            "PgBouncer",
            [str(PROGRAM), str(configuration)],
            ready_text=b"process up",
            account=account,
            environment={"PATH": os.defpath, "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "")},
        )
        self._process.start(timeout=15)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.stop(signal.SIGTERM)
