"""Try docker-compose.yml with deploy/compose/production.yml for real, and clean up in any case.

Build, start, tell the story, kill, scale, restart, freeze, update under load, back up, restore, stop:

    make compose-test

Images and base are those of the compose files unless PYTHON_IMAGE, POSTGRES_IMAGE, REDIS_IMAGE, PROXY_IMAGE and
MAIL_IMAGE name others; BUILD_NETWORK=host lets the build use the machine's own network. Needs Docker with its compose
command.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import httpx
from compose_people import (
    Load,
    can_register,
    can_sign_in,
    is_ready,
    new_person,
    sign_in,
    state_of,
    states,
    upload,
)
from compose_project import (
    Compose,
    Failed,
    are_healthy,
    expect,
    inside,
    inspected,
    require,
    run,
    say,
    wait_until,
)

TULOU = ("api", "api-2", "relay", "worker-default", "worker-mail", "worker-files")
UPLOADS = 24
WORKERS = 3
STOPPED = {0, 143}
"""Exit codes of who ended by itself: uvicorn, when it has finished, ends by the signal that it was sent (128 + 15)."""


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
    # From within: a container that `docker kill` has signalled counts as stopped by hand, and is not restarted.
    inside(relay, "kill -USR2 $(cat /proc/1/task/1/children)")
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


def trust(compose: Compose) -> None:
    """Take the proxy's own authority for one, here and in the demo."""
    proxy = compose.containers("proxy")[0]
    authority = "/data/caddy/pki/authorities/local/root.crt"
    wait_until(lambda: "yes" in inside(proxy, f"test -s {authority} && echo yes || true"), "a certificate")
    file = compose.folder / "root.crt"
    file.write_text(inside(proxy, f"cat {authority}"))
    os.environ["SSL_CERT_FILE"] = str(file)


if __name__ == "__main__":
    sys.exit(main())
