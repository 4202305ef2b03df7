"""One embedded PostgreSQL, Valkey and mail catcher per test process; accounts and programs per test.

Tests commit for real. Each makes its own people and looks only at what is theirs.
"""

import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from bootstrap.api.app import create_api
from bootstrap.compose import compose
from bootstrap.container import TulouContainer
from bootstrap.migrations.runner import migrate
from bootstrap.settings.generated_secrets import ensure_secrets, read_environment_file
from bootstrap.settings.loading import load_settings
from bootstrap.settings.model import Settings
from shared.queues import QUEUES
from tests.programs import Program, share_of, stop_all, tulou
from tests.secrecy import SECRECY, watch
from tools.dev import ports
from tools.dev.account import server_account
from tools.dev.mail_catcher import MailCatcher
from tools.dev.postgres import EmbeddedPostgres
from tools.dev.valkey import EmbeddedValkey
from tools.faults.people import People, Person

_networks = count(random.randrange(256))
QUICK_TO_HASH = {"TULOU_AUTH_HASH_MEMORY_KIB": "8"}
"""Nearly every test makes people, whose passwords nobody will try to guess."""

LONGEST_FIRST = (
    "tests/tools/faults/",
    "tests/contract/test_fuzzing.py",
    "tests/end_to_end/",
    "tests/deployment/test_wheel.py",
    "tests/contract/",
    "tests/tools/scaffold/",
    "tests/fleets/",
    "tests/bootstrap/",
    "tests/scaling/",
    "tests/architecture/",
    "tests/security/",
)
"""Where several processes share the files of tests, those that take long come first: at the end all are busy."""

LEAKS: list[str] = []
"""Lines of logs that hold a secret, of this process and of those that share the tests with it."""


def pytest_configure(config: pytest.Config) -> None:
    """Look for secrets in all logs of this run."""
    watch(SECRECY)
    ports.CANDIDATES = share_of(ports.CANDIDATES)
    if not shares_the_tests(config):
        server_account()  # the first run on a machine makes it, and only one process can


def shares_the_tests(config: pytest.Config) -> bool:
    """Tell whether this process runs a part of the tests, for another that gathers what came of them."""
    return hasattr(config, "workerinput")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    if shares_the_tests(config):
        items.sort(key=lambda item: [not item.nodeid.startswith(long) for long in LONGEST_FIRST])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let the run fail if a log holds a secret, once every fixture has ended."""
    LEAKS.extend(SECRECY.leaks())
    SECRECY.close()
    if shares_the_tests(session.config):
        session.config.workeroutput["leaks"] = LEAKS
    elif LEAKS:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        for line in [f"Secrets stand in {len(LEAKS)} lines of logs:", *LEAKS[:20]]:
            reporter.write_line(line, red=True)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what another process has found; one that died has found nothing, and is an error already."""
    LEAKS.extend(getattr(node, "workeroutput", {}).get("leaks", ()))


@dataclass(frozen=True)
class Servers:
    """Where the embedded servers listen, and the folder of everything."""

    folder: Path
    environment: dict[str, str]
    mails: Path
    catcher: MailCatcher
    superuser_url: str


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    folder = Path(tempfile.mkdtemp(prefix="tulou-tests-"))
    folder.chmod(0o755)
    postgres = EmbeddedPostgres(folder / "postgres", durable=False)
    valkey = EmbeddedValkey(folder / "valkey")
    catcher = MailCatcher(folder / "mail")
    try:
        postgres.start()
        valkey.start()
        catcher.start()
        environment = {
            "TULOU_ENV": "test",
            "TULOU_DATA_DIR": str(folder),
            "TULOU_TRUSTED_PROXIES": "127.0.0.1",
            "TULOU_JOBS_RELAY_INTERVAL": "0.2",
            "TULOU_LOG_FORMAT": "json",
            **QUICK_TO_HASH,
            "DATABASE_URL": postgres.url,
            "TULOU_DATABASE_OWNER_URL": postgres.owner_url,
            "REDIS_URL": valkey.url,
            "SMTP_URL": catcher.url,
            **read_environment_file(ensure_secrets(folder)),
        }
        SECRECY.learn_environment(environment)
        yield Servers(folder, environment, folder / "mail", catcher, postgres.superuser_url)
        SECRECY.learn_mails(folder / "mail")
    finally:
        catcher.stop()
        valkey.stop()
        postgres.destroy()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def settings(servers: Servers) -> Iterator[Settings]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in servers.environment.items():
            patch.setenv(name, value)
        loaded = load_settings()
        migrate(loaded)
        yield loaded


@pytest.fixture(scope="session")
def composition(settings: Settings) -> TulouContainer:
    """The composed program; its pools are open while `app` is."""
    return compose(settings, "api")


@pytest.fixture(scope="session")
async def app(settings: Settings, composition: TulouContainer) -> AsyncIterator[FastAPI]:
    application = create_api(settings, composition)
    async with application.router.lifespan_context(application):
        yield application


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client with an address of its own, so that limits stay on and tests stay apart."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("127.0.0.1", 50_000))
    headers = {"X-Forwarded-For": some_address()}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1:8000", headers=headers
    ) as made:
        yield made


@pytest.fixture
def people(client: httpx.AsyncClient, composition: TulouContainer) -> People:
    return People(client, composition)


@pytest.fixture
async def user(people: People) -> Person:
    """Somebody who has just registered and signed in."""
    return await people.register()


@pytest.fixture
async def other(people: People) -> Person:
    """Somebody else."""
    return await people.register()


@pytest.fixture
async def admin(people: People) -> Person:
    """An administrator."""
    return await people.administrator()


@pytest.fixture
def work_off(app: FastAPI, composition: TulouContainer) -> Callable[[], Awaitable[int]]:
    """Run every due job here, in this process, as a worker would; return how many."""

    async def work() -> int:
        runner = composition.jobs.runner()
        await composition.jobs.relay_rows().promote_due()
        done = 0
        for queue in QUEUES:
            while (job := await runner.claim_next(queue)) is not None:
                await runner.run(job)
                done += 1
        return done + (await work() if done else 0)

    return work


@pytest.fixture
async def rows(servers, settings) -> Any:
    """Read the database as an operator would: `await rows("SELECT ...", argument)`."""
    connection = await asyncpg.connect(servers.environment["TULOU_DATABASE_OWNER_URL"])
    try:
        yield connection.fetch
    finally:
        await connection.close()


@pytest.fixture
def only_here(composition: TulouContainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no worker of another test hear of jobs: `work_off` runs them, here."""
    monkeypatch.setattr(composition.jobs.wake_ups(), "send_soon", lambda _queue, _job_id: None)


@pytest.fixture(scope="module")
def programs(servers: Servers, settings: Settings) -> Iterator[Callable[..., Program]]:
    """Start `tulou` commands as processes of their own; they end with the file at the latest.

    A worker that lived on would take the jobs of other tests.
    """
    started: list[Program] = []

    def start(*arguments: str, folder: Path | None = None, **environment: str) -> Program:
        program = tulou(*arguments, environment=servers.environment | environment, folder=folder)
        started.append(program)
        return program

    yield start
    stop_all(started)


def some_address() -> str:
    """Return an address in a /24 that the 255 calls before did not return, from a range for tests (RFC 2544)."""
    return f"198.18.{next(_networks) % 256}.{random.randrange(1, 255)}"
