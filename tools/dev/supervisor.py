"""What `tulou dev` does: every part of the system in one terminal, started and stopped in order."""

import http.client
import os
import sys
import urllib.parse
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bootstrap.settings.generated_secrets import ensure_secrets, read_environment_file
from bootstrap.settings.model import Settings
from shared.queues import QUEUES
from tools.dev.account import server_account
from tools.dev.errors import EmbeddedError
from tools.dev.folders import prepare_data_dir
from tools.dev.manager import Manager, Part
from tools.dev.ports import LOOPBACK, choose_port, require_free
from tools.dev.postgres import EmbeddedPostgres
from tools.dev.services import only_one, publish_services
from tools.dev.valkey import EmbeddedValkey

PROBE_TIMEOUT_SECONDS = 0.5


def run(settings: Settings, *, servers_only: bool = False) -> int:
    """Run everything until Ctrl-C or SIGTERM; return 0 when asked to stop, 1 when something failed.

    PostgreSQL, Valkey and the mail catcher are started only where the settings name no server of your own.
    `servers_only`: nothing else is started, and nothing is migrated.
    """
    try:
        return _Supervisor(settings, servers_only=servers_only).run()
    except EmbeddedError as error:
        sys.stderr.write(f"{error}\n")
        return 1


class _Supervisor:
    def __init__(self, settings: Settings, *, servers_only: bool) -> None:
        self._settings = settings
        self._servers_only = servers_only
        self._data_dir = settings.data_dir.absolute()
        self._mail_dir = self._data_dir / "mail"
        self._manager = Manager()
        # What `tulou` finds in a second terminal while this runs.
        self._services: dict[str, str] = {}

    def run(self) -> int:
        manager = self._manager
        prepare_data_dir(self._data_dir, server_account())
        with only_one(self._data_dir), manager.signals(), ExitStack() as backing:
            if not self._servers_only:
                require_free(self._settings.host, self._settings.port)
            self._start_postgres(backing)
            self._start_valkey(backing)
            mail_port = self._choose_mail_port()
            publish_services(self._data_dir, self._services)
            manager.environment = self._environment()
            if mail_port is not None:
                manager.add(Part("mail", _mail_catcher(mail_port, self._mail_dir), last=True))
            if self._servers_only:
                self._greet("The servers run; start the rest by hand: tulou migrate, serve, relay, worker.")
            else:
                self._add_parts()
            manager.loop()
        return 1 if manager.failed else 0

    def _start_postgres(self, backing: ExitStack) -> None:
        if self._settings.database_url is not None:
            return
        server = EmbeddedPostgres(
            self._data_dir / "postgres",
            on_line=self._manager.log("postgres"),
            on_exit=lambda: self._fail("PostgreSQL"),
        )
        server.start()
        backing.callback(server.stop)
        self._services |= {"DATABASE_URL": server.url, "TULOU_DATABASE_OWNER_URL": server.owner_url}

    def _start_valkey(self, backing: ExitStack) -> None:
        if self._settings.redis_url is not None:
            return
        server = EmbeddedValkey(
            self._data_dir / "valkey",
            on_line=self._manager.log("valkey"),
            on_exit=lambda: self._fail("Valkey"),
        )
        server.start()
        backing.callback(server.stop)
        self._services |= {"REDIS_URL": server.url}

    def _fail(self, server: str) -> None:
        self._manager.fail(f"{server} ended by itself; the lines above say why. Everything stops.")

    def _choose_mail_port(self) -> int | None:
        if self._settings.emails_smtp_url is not None:
            return None
        port = choose_port("mail", memory=self._data_dir / "ports.json")
        self._services |= {"SMTP_URL": f"smtp://{LOOPBACK}:{port}"}
        return port

    def _environment(self) -> dict[str, str]:
        secrets = read_environment_file(ensure_secrets(self._data_dir))
        own = {
            "TULOU_DATA_DIR": str(self._data_dir),
            "TULOU_HOST": self._settings.host,
            "TULOU_PORT": str(self._settings.port),
            "PYTHONUNBUFFERED": "1",
        }
        # Ctrl-C should not take long: a job that doesn't end in this time is given back.
        ours = {
            "TULOU_PUBLIC_URL": self._base_url,
            "TULOU_WORKER_SOFT_SHUTDOWN": "3",
            "TULOU_SHUTDOWN_GRACE": "3",
        }
        # Settings of the environment take precedence over generated ones.
        return secrets | ours | dict(os.environ) | self._services | own

    def _add_parts(self) -> None:
        manager = self._manager
        manager.add(Part("migrate", _tulou("migrate"), once=True))
        greet = partial(self._greet, "Tulou runs.", *self._addresses)
        manager.add(Part("api", _tulou("serve"), after="migrate", probe=self._is_live, on_ready=greet))
        # After the API, so that it does not share the processor with four imports of everything.
        manager.add(Part("relay", _tulou("relay"), after="api"))
        for queue in QUEUES:
            manager.add(Part(f"worker-{queue}", _tulou("worker", "--queue", queue), after="api"))

    @property
    def _base_url(self) -> str:
        # A client can't connect to an address that means "all of them".
        host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(self._settings.host, self._settings.host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self._settings.port}"

    def _is_live(self) -> bool:
        address = urllib.parse.urlsplit(self._base_url)
        connection = http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=PROBE_TIMEOUT_SECONDS
        )
        try:
            connection.request("GET", "/health/live")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    @property
    def _addresses(self) -> list[str]:
        return [f"  API       {self._base_url}/v1", f"  try it    {self._base_url}/docs"]

    def _greet(self, *first: str) -> None:
        lines = list(first)
        if "SMTP_URL" in self._services:
            lines.append(f"  mails     {self._mail_dir}")
        if "DATABASE_URL" in self._services:
            lines.append(f"  database  {_without_password(self._services['DATABASE_URL'])}")
        lines.append("  stop      Ctrl-C")
        self._manager.say("\n".join(lines))


def _tulou(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bootstrap.cli.main", *arguments]


def _mail_catcher(port: int, directory: Path) -> list[str]:
    options = ["--host", LOOPBACK, "--port", str(port), "--directory", str(directory)]
    return [sys.executable, "-m", "tools.dev.mail_catcher", *options]


def _without_password(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")).geturl()
