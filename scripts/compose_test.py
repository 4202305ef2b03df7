"""Try docker-compose.yml with deploy/compose/production.yml for real, and clean up in any case.

Build, start, tell the story, kill, scale, restart, freeze, update under load, back up, restore, stop:

    make compose-test

Images and base are those of the compose files unless PYTHON_IMAGE, POSTGRES_IMAGE, REDIS_IMAGE, PROXY_IMAGE and
MAIL_IMAGE name others; BUILD_NETWORK=host lets the build use the machine's own network. Needs Docker with its compose
command.
"""

import json
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx

PROJECT = Path(__file__).resolve().parents[1]
PHOTOGRAPH = PROJECT / "tests" / "data" / "astronaut.jpg"
TULOU = ("api", "api-2", "relay", "worker-default", "worker-mail", "worker-files")
UPLOADS = 24
WORKERS = 3
FREEZABLE = (
    "import signal, time; signal.signal(signal.SIGUSR2, lambda *_: time.sleep(3600));"
    " from bootstrap.cli import main; main()"
)
"""The program of the relay, which SIGUSR2 freezes here."""

STOPPED = {0, 143}
"""Exit codes of who ended by itself: uvicorn, when it has finished, ends by the signal that it was sent (128 + 15)."""

PATIENCE = 120.0


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
        run([sys.executable, "-m", "bootstrap.cli", "init-env", str(folder)])
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


def main() -> int:
    """Try everything; return the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="tulou-compose-"))
    compose = Compose(folder)
    try:
        attempt(compose)
    except (Failed, httpx.HTTPError, subprocess.TimeoutExpired) as failure:
        say(f"FAILED: {failure}")
        with suppress(Failed):
            say(compose("logs", "--no-color", "--tail", "30"))
        return 1
    finally:
        with suppress(Failed):
            compose("down", "--volumes", "--remove-orphans", "--timeout", "5")
            run(["docker", "image", "rm", f"{compose.name}:latest"])
        shutil.rmtree(folder)
    say("passed: everything that was accepted was done, and everything ended by itself")
    return 0


def attempt(compose: Compose) -> None:
    """Do one thing after another."""
    begun = time.monotonic()
    compose("build")
    size = int(inspected(f"{compose.name}:latest", "{{.Size}}"))
    say(f"built the image: {size / 1e6:.0f} MB, in {time.monotonic() - begun:.0f} s")
    begun = time.monotonic()
    compose("up", "--detach")
    trust(compose)
    wait_until(lambda: is_ready(compose), "the API to be ready")
    ready = time.monotonic() - begun
    wait_until(
        lambda: all(are_healthy(compose, service) for service in TULOU), "all containers to be healthy"
    )
    say(f"started: ready after {ready:.1f} s, everything healthy after {time.monotonic() - begun:.1f} s")
    look_inside(compose)
    tell_the_story(compose)
    say_memory(compose)
    kill_a_worker(compose)
    restart_the_database(compose)
    restore_a_backup(compose)
    freeze_the_relay(compose)
    update_under_load(compose)
    back_up_by_itself(compose)
    tell_the_story(compose)
    stop(compose)


def look_inside(compose: Compose) -> None:
    """See that processes are nobody, on a disk that they can't write to, and without a compiler."""
    for service in TULOU:
        (container, *_) = compose.containers(service)
        require(inside(container, "id -u") == "10001", f"{service} runs as somebody else")
        require(
            inside(container, "touch /opt/x 2>/dev/null || echo no") == "no", f"{service} can write to /opt"
        )
        found = inside(container, "command -v gcc cc make pip || echo none")
        require(found == "none", f"{service} has {found}")
    api = compose.containers("api")[0]
    look_for_secrets(compose)
    look_at_logs(compose)
    doctor = json.loads(inside(api, "tulou doctor --json || true"))
    ill = [check for check in doctor["checks"] if check["state"] == "ill"]
    require(not ill, f"the doctor found {ill}")
    say(f"the doctor found {len(doctor['checks'])} things well, from within the API's container")


def look_for_secrets(compose: Compose) -> None:
    """See that no secret is in a variable or an argument, and that containers have only their own."""
    secret = [path.read_text().strip() for path in (compose.folder / "secrets").iterdir()]
    for container in compose.everything():
        told = inspected(container, "{{json .Config}}") + run(["docker", "top", container, "-o", "pid,args"])
        require(not any(each in told for each in secret), f"{container} shows a secret")
    relay = inside(compose.containers("relay")[0], "ls /run/secrets").split()
    require(relay == ["database_url", "redis_url"], f"the relay has {relay}")
    say("no secret is in a variable or an argument; the relay has two of them")


def look_at_logs(compose: Compose) -> None:
    """See that the log of each container has a largest size."""
    for container in compose.everything():
        found = json.loads(inspected(container, "{{json .HostConfig.LogConfig}}"))
        require(
            found == {"Type": "local", "Config": {"max-file": "5", "max-size": "20m"}},
            f"{container} logs as {found}",
        )
    say(f"the logs of {len(compose.everything())} containers have a largest size")


def tell_the_story(compose: Compose) -> None:
    """Run the demo against the containers."""
    environment = {**os.environ, "TULOU_URL": compose.url, "MAIL_CATCHER": compose.mails}
    run([sys.executable, "scripts/demo.py"], environment=environment, seconds=180)
    say("told the demo's story: registered, verified by mail, uploaded, rendered, searched, downloaded")


def kill_a_worker(compose: Compose) -> None:
    """Kill the container of a worker that is busy, then start three: every accepted job must be done."""
    with httpx.Client(base_url=compose.url, timeout=30) as client:
        sign_in(client)
        (victim,) = compose.containers("worker-files")
        jobs = [upload(client, number) for number in range(UPLOADS // 2)]
        wait_until(lambda: states(client, jobs) & {"running", "succeeded"}, "a job to begin", pause=0.01)
        run(["docker", "kill", victim])
        before = [job for job in jobs if state_of(client, job) != "succeeded"]
        require(before, "the worker had done everything before it was killed")
        jobs += [upload(client, number) for number in range(UPLOADS // 2, UPLOADS)]
        compose("up", "--detach", "--no-recreate", "--scale", f"worker-files={WORKERS}")
        wait_until(lambda: len(compose.containers("worker-files")) >= WORKERS, "three workers")
        wait_until(lambda: states(client, jobs) == {"succeeded"}, "all jobs to succeed")
    say(f"killed the busy worker with {len(before)} jobs left, scaled to 3: all {len(jobs)} jobs succeeded")


def restart_the_database(compose: Compose) -> None:
    """Restart PostgreSQL under the running system."""
    compose("restart", "postgres")
    wait_until(lambda: is_ready(compose), "the API to be ready again")
    # The first to write learns by a 503 that its connection is of before; it is told to come again.
    wait_until(lambda: can_register(compose), "the API to take a registration")
    wait_until(
        lambda: all(are_healthy(compose, service) for service in TULOU), "all containers to be healthy"
    )
    restarts = {
        service: sum(
            int(inspected(container, "{{.RestartCount}}")) for container in compose.containers(service)
        )
        for service in TULOU
    }
    require(not any(restarts.values()), f"processes ended with the database: {restarts}")
    say("restarted the database: the API is ready again, and no process of Tulou ended")


def restore_a_backup(compose: Compose) -> None:
    """Take a backup while everything runs, change something, and go back to it."""
    before, after = new_person(), new_person()
    expect(httpx.post(f"{compose.url}/v1/auth/register", json=before, timeout=30), 202)
    wait_until(lambda: can_sign_in(compose, before), "the account")
    said = compose("run", "--rm", "-T", "backup")
    place = said.partition("Backed up to ")[2].partition(": ")[0]
    require(place.startswith("/backups/"), f"the backup said {said!r}")
    expect(httpx.post(f"{compose.url}/v1/auth/register", json=after, timeout=30), 202)
    wait_until(lambda: can_sign_in(compose, after), "the account that the backup doesn't have")
    compose("stop", *TULOU)
    compose("run", "--rm", "-T", "backup", "restore", place, "--check")
    compose("run", "--rm", "-T", "backup", "restore", place, "--replace", "--confirm", "tulou")
    compose("up", "--detach")
    wait_until(lambda: is_ready(compose), "the API to be ready after the restore")
    wait_until(lambda: can_sign_in(compose, before), "the account that the backup has")
    require(not can_sign_in(compose, after), "an account is there that the backup doesn't have")
    say(f"took a backup while everything ran, and restored it: {place}")


def freeze_the_relay(compose: Compose) -> None:
    """Freeze the relay: it must end by itself, be restarted, and say where it was."""
    (relay,) = compose.containers("relay")
    wait_until(lambda: are_healthy(compose, "relay"), "the relay to be healthy")
    run(["docker", "kill", "--signal", "USR2", relay])
    wait_until(lambda: int(inspected(relay, "{{.RestartCount}}")) > 0, "the frozen relay to be restarted")
    wait_until(lambda: are_healthy(compose, "relay"), "the relay to be healthy again")
    said = compose("logs", "--no-color", "relay")
    require("Timeout (0:00:0" in said and "<lambda>" in said, f"the relay did not say where it was: {said}")
    say("froze the relay: it ended by itself, said where it was, and was restarted")


def update_under_load(compose: Compose) -> None:
    """Build another version, and replace everything by it while requests come in: none may fail."""
    before = {service: compose.containers(service) for service in TULOU}
    compose("build", REVISION="another-commit")
    with Load(compose.url) as load:
        told = compose.update()
        taken = load.seconds
    for service in TULOU:
        require(not set(before[service]) & set(compose.containers(service)), f"{service} is not replaced")
    version = inside(compose.containers("api-2")[0], "tulou --version")
    require(version.endswith("(another-commit)"), f"it is {version}")
    require(told.count("replaced ") == len(TULOU), told)
    require(load.answered > taken, f"only {load.answered} requests in {taken:.0f} s")
    require(not load.failed, f"{len(load.failed)} of {load.answered} requests failed: {load.failed[:5]}")
    say(f"updated everything in {taken:.0f} s under load: {load.answered} requests, 0 failed; {version}")


def back_up_by_itself(compose: Compose) -> None:
    """Let the time of the nightly backup come: there must be a new one, and no more than are kept."""
    soon = time.gmtime(time.time() + 70)
    compose("up", "--detach", "--no-deps", "nightly-backup", BACKUP_AT=time.strftime("%H:%M", soon))
    (container,) = compose.containers("nightly-backup")
    before = set(inside(container, "ls /backups").split())
    wait_until(
        lambda: "Backed up to" in compose("logs", "--no-color", "nightly-backup"), "the backup", most=300
    )
    after = set(inside(container, "ls /backups").split())
    require(len(after - before) == 1, f"there were {before}, and then {after}")
    wait_until(lambda: len(inside(container, "ls /backups").split()) <= 2, "older backups to be deleted")  # noqa: PLR2004  # BACKUP_KEEP
    say(f"a backup was taken by itself: {', '.join(after - before)}; of {len(before | after)} two are kept")


def stop(compose: Compose) -> None:
    """Stop everything, and see that it ended by itself, not killed."""
    running = {service: compose.containers(service) for service in TULOU}
    begun = time.monotonic()
    compose("stop")
    taken = time.monotonic() - begun
    codes = {
        service: [int(inspected(container, "{{.State.ExitCode}}")) for container in containers]
        for service, containers in running.items()
    }
    require(all(code in STOPPED for ended in codes.values() for code in ended), f"exit codes {codes}")
    say(f"stopped everything in {taken:.1f} s; nothing had to be killed: {codes}")


def say_memory(compose: Compose) -> None:
    """Print what each container holds in memory."""
    lines = run(
        ["docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *compose.everything()]
    )
    say("memory:\n    " + "\n    ".join(sorted(lines.replace(f"{compose.name}_", "").splitlines())))


class Load:
    """Four people who read and write meanwhile, and what they were answered."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._come) for _ in range(4)]
        self._begun = 0.0
        self.answered = 0
        self.failed: list[str] = []

    @property
    def seconds(self) -> float:
        """For how long it has lasted."""
        return time.monotonic() - self._begun

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _come(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            sign_in(client)
            while not self._ended.is_set():
                for _ in range(4):
                    self._ask(client, "GET", "/v1/users/me")
                    self._ended.wait(0.3)
                self._ask(
                    client, "POST", "/v1/files", files={"file": ("a.txt", secrets.token_hex(8).encode())}
                )

    def _ask(self, client: httpx.Client, method: str, path: str, **body: Any) -> None:
        try:
            status = str(client.request(method, path, **body).status_code)
        except httpx.HTTPError as error:
            status = f"{type(error).__name__} {error}"
        self.answered += 1
        if status not in {"200", "201"}:
            self.failed.append(f"{method} {path}: {status}")


def trust(compose: Compose) -> None:
    """Take the proxy's own authority for one, here and in the demo."""
    proxy = compose.containers("proxy")[0]
    authority = "/data/caddy/pki/authorities/local/root.crt"
    wait_until(lambda: "yes" in inside(proxy, f"test -s {authority} && echo yes || true"), "a certificate")
    file = compose.folder / "root.crt"
    file.write_text(inside(proxy, f"cat {authority}"))
    os.environ["SSL_CERT_FILE"] = str(file)


def sign_in(client: httpx.Client) -> None:
    """Become somebody."""
    person = new_person()
    expect(client.post("/v1/auth/register", json=person), 202)
    form = sign_in_form(person)
    wait_until(lambda: client.post("/v1/auth/token", data=form).status_code == httpx.codes.OK, "the account")
    token = expect(client.post("/v1/auth/token", data=form), 200).json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"


def upload(client: httpx.Client, number: int) -> str:
    """Upload a photograph unlike the others; return the address of the job that it causes."""
    content = PHOTOGRAPH.read_bytes() + number.to_bytes(2, "big")
    answer = expect(client.post("/v1/files", files={"file": (f"{number}.jpg", content)}), 201)
    return str(answer.json()["jobs"][0]["url"])


def states(client: httpx.Client, jobs: list[str]) -> set[str]:
    """Return the states that the jobs are in."""
    return {state_of(client, job) for job in jobs}


def state_of(client: httpx.Client, job: str) -> str:
    """Return the state of one job."""
    return str(expect(client.get(job), 200).json()["status"])


def new_person() -> dict[str, str]:
    """Return the registration of somebody new."""
    return {"email": f"compose-{secrets.token_hex(6)}@example.org", "password": secrets.token_urlsafe(18)}


def sign_in_form(person: dict[str, str]) -> dict[str, str]:
    """Return what somebody signs in with."""
    return {"grant_type": "password", "username": person["email"], "password": person["password"]}


def can_sign_in(compose: Compose, person: dict[str, str]) -> bool:
    """Tell whether somebody has an account."""
    answer = httpx.post(f"{compose.url}/v1/auth/token", data=sign_in_form(person), timeout=30)
    return bool(answer.status_code == httpx.codes.OK)


def is_ready(compose: Compose) -> bool:
    """Tell whether the API can serve."""
    try:
        return httpx.get(f"{compose.url}/health/ready", timeout=5).json()["status"] == "ok"
    except (httpx.HTTPError, ValueError):
        return False


def can_register(compose: Compose) -> bool:
    """Tell whether the API writes."""
    answer = httpx.post(f"{compose.url}/v1/auth/register", json=new_person(), timeout=30)
    require(answer.status_code in {202, 503}, f"registering answered {answer.status_code}: {answer.text}")
    return answer.status_code == httpx.codes.ACCEPTED


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


if __name__ == "__main__":
    sys.exit(main())
