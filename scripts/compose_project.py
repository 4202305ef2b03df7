"""The compose project of `make compose-test`, and what its steps have in common."""

import json
import os
import secrets
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx

PROJECT = Path(__file__).resolve().parents[1]
PATIENCE = 120.0
FREEZABLE = (
    "import signal, time; signal.signal(signal.SIGUSR2, lambda *_: time.sleep(3600));"
    " from bootstrap.cli.main import main; main()"
)
"""The program of the relay, which SIGUSR2 freezes here."""


class Failed(Exception):
    """Something is not as it should be; the message says what."""


class Compose:
    """The project, under a name and in a folder of its own: nobody else's containers are touched."""

    def __init__(self, folder: Path) -> None:
        self.name = f"tulou-test-{secrets.token_hex(3)}"
        self.folder = folder
        # Caddy makes a certificate for this name by itself.
        self.url = f"https://localhost:{_free_port()}"
        self.mails = f"http://127.0.0.1:{_free_port()}"
        self._override = folder / "override.yml"
        self._environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.name,
            "IMAGE": f"{self.name}:latest",
            "COMPOSE_PROFILES": "catcher",
            "SETTINGS_FILE": str(folder / "tulou.env"),
            "SECRETS_FOLDER": str(folder / "secrets"),
            "API_DOMAIN": "localhost",
            "API_PORT": str(_free_port()),
            "HTTP_PORT": str(_free_port()),
            "HTTPS_PORT": self.url.rsplit(":", 1)[1],
            "BACKUP_KEEP": "2",
            "MAIL_PORT": self.mails.rsplit(":", 1)[1],
        }
        files = [PROJECT / "docker-compose.yml", PROJECT / "deploy/compose/production.yml", self._override]
        self.command = [*_compose_command(), "--env-file", str(folder / ".env")]
        self.command += [f"--file={file}" for file in files]
        self._write_override()
        run([sys.executable, "-m", "bootstrap.cli.main", "init-env", str(folder)])
        settings = folder / "tulou.env"
        text = settings.read_text().replace("TULOU_PUBLIC_URL=http://127.0.0.1:8000", "")
        # Short leases, so that what a killed worker had is soon another's.
        settings.write_text(
            f"{text}TULOU_PUBLIC_URL={self.url}\nTULOU_JOBS_LEASE=8\nTULOU_JOBS_HEARTBEAT=2\n"
            "TULOU_TRUSTED_PROXIES=172.16.0.0/12,192.168.0.0/16\n"
        )

    def __call__(self, *arguments: str, seconds: float = 600, **environment: str) -> str:
        """Run the compose command on this project."""
        given = self._environment | environment
        return run([*self.command, *arguments], environment=given, seconds=seconds)

    def update(self) -> str:
        """Run deploy/compose/update.sh."""
        given = self._environment | {"COMPOSE": shlex.join(self.command)}
        return run(["deploy/compose/update.sh"], environment=given, seconds=900)

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's containers that run."""
        return self("ps", "-q", service).split()

    def everything(self) -> list[str]:
        """Return the ids of all containers that run."""
        return run(
            ["docker", "ps", "--quiet", "--filter", f"label=com.docker.compose.project={self.name}"]
        ).split()

    def _write_override(self) -> None:
        network = os.environ.get("BUILD_NETWORK")
        services: dict[str, object] = {
            "relay": {
                "entrypoint": ["/opt/tulou/bin/python", "-c", FREEZABLE],
                "environment": {"TULOU_WATCHDOG": 5},
            },
            # Where a stand-in of the catcher keeps its mails.
            "mail": {"tmpfs": ["/mail:mode=1777,size=64m"]},
        }
        if network:
            services["api"] = {"build": {"network": network}}
        self._override.write_text(json.dumps({"version": "3.8", "services": services}))


def are_healthy(compose: Compose, service: str) -> bool:
    """Tell whether all containers of a service are."""
    found = [inspected(container, "{{.State.Health.Status}}") for container in compose.containers(service)]
    return bool(found) and set(found) == {"healthy"}


def inside(container: str, command: str) -> str:
    """Run a shell command in a container; return what it printed."""
    return run(["docker", "exec", container, "sh", "-c", command]).strip()


def inspected(thing: str, template: str) -> str:
    """Return what Docker knows of a container or an image."""
    return run(["docker", "inspect", "--format", template, thing]).strip()


def expect(answer: httpx.Response, status: int) -> httpx.Response:
    """Return the answer if it has this status."""
    require(
        answer.status_code == status, f"{answer.request.url} answered {answer.status_code}: {answer.text}"
    )
    return answer


def require(condition: object, otherwise: str) -> None:
    """Fail with a sentence unless the condition holds."""
    if not condition:
        raise Failed(otherwise)


def wait_until(
    condition: Callable[[], object], what: str, *, pause: float = 0.5, most: float = PATIENCE
) -> None:
    """Wait for something, with a limit."""
    until = time.monotonic() + most
    while not condition():
        require(time.monotonic() < until, f"waited {most:.0f} s in vain for {what}")
        time.sleep(pause)


def run(command: list[str], *, environment: dict[str, str] | None = None, seconds: float = 120) -> str:
    """Run a program to its end; return what it printed."""
    ended = subprocess.run(  # noqa: S603  # our own commands
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )
    if ended.returncode:
        said = (ended.stdout + ended.stderr)[-3000:]
        raise Failed(f"`{' '.join(command)}` ended with {ended.returncode}:\n{said}")
    return ended.stdout


def say(text: str) -> None:
    """Print a step."""
    print(f"· {text}", flush=True)


def _compose_command() -> list[str]:
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)  # noqa: S607  # on PATH
    return ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
