"""docker-compose.yml, the Dockerfile and the two files that `tulou init-env` writes, without Docker."""

import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from bootstrap.cli.main import app as tulou
from bootstrap.settings.env_files import KEYS, SECRETS
from bootstrap.settings.environment import known_variables
from bootstrap.settings.loading import load_settings
from bootstrap.settings.model import Settings
from bootstrap.settings.required import required_settings
from bootstrap.settings.secret_files import file_variables

PROJECT = Path(__file__).parents[2]
TEXT = (PROJECT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
OF_TULOU = [name for name, service in SERVICES.items() if "tulou" in service["image"]]
LASTING = [name for name, service in SERVICES.items() if service["restart"] != "no"]
KNOWN = known_variables(Settings.model_fields)
FILES = file_variables(Settings.model_fields)
RUN = "/run/secrets/"
DOCKERFILE = (PROJECT / "Dockerfile").read_text()
DEFAULTS = dict(re.findall(r"\b(TULOU_[A-Z_]+)=(\S+)", DOCKERFILE))
PARENT = 110 << 20
"""What a worker's parent process holds."""

CHOICES = {
    "IMAGE", "PYTHON_IMAGE", "POSTGRES_IMAGE", "REDIS_IMAGE", "MAIL_IMAGE", "API_PORT", "MAIL_PORT", "SETTINGS_FILE",
    "BACKUPS", "SECRETS_FOLDER", "VERSION", "REVISION", "CREATED", "SOURCE",
}  # fmt: skip


def assignments(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def test_each_role_has_a_service() -> None:
    commands = {name: " ".join(SERVICES[name]["command"]) for name in OF_TULOU}
    assert commands == {
        "api": "serve",
        "relay": "relay",
        "migrate": "migrate",
        "backup": "backup",
        **{f"worker-{queue}": f"worker --queue {queue}" for queue in ("default", "mail", "files")},
    }


def test_each_command_of_the_image_is_one_of_ours() -> None:
    known = {command.name or command.callback.__name__ for command in tulou.registered_commands}
    assert {SERVICES[name]["command"][0] for name in OF_TULOU} <= known


@pytest.mark.parametrize("name", OF_TULOU)
def test_each_process_is_closed_in_and_limited(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["env_file"] == ["${SETTINGS_FILE:-tulou.env}"]
    assert "container_name" not in service
    assert name == "api" or "ports" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_each_container_has_a_limit(name: str) -> None:
    assert SERVICES[name]["mem_limit"]


@pytest.mark.parametrize("name", [name for name in LASTING if name != "mail"])
def test_what_lasts_is_watched(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]


def test_dependencies_say_what_they_wait_for() -> None:
    waited = {name: service.get("depends_on", {}) for name, service in SERVICES.items()}
    for name in set(OF_TULOU) - {"migrate", "backup"}:
        assert waited[name]["migrate"]["condition"] == "service_completed_successfully"
        assert waited[name]["redis"]["condition"] == "service_healthy"
        assert waited[name]["postgres"]["condition"] == "service_healthy"
    for name in ("migrate", "backup"):
        assert waited[name]["roles"]["condition"] == "service_completed_successfully"
    assert waited["roles"]["postgres"]["condition"] == "service_healthy"
    assert all(target in SERVICES for targets in waited.values() for target in targets)


def test_every_variable_is_a_setting() -> None:
    for name in OF_TULOU:
        assert set(SERVICES[name].get("environment", {})) <= KNOWN | set(FILES), name


def test_only_migration_and_backup_know_the_owner_and_nobody_the_superuser() -> None:
    for name in OF_TULOU:
        given = str(SERVICES[name].get("environment", {}))
        assert ("OWNER" in given) == (name in {"migrate", "backup"})
        assert "POSTGRES_PASSWORD" not in given


def test_a_backup_is_started_by_hand_and_lasts_longer_than_its_container() -> None:
    backup = SERVICES["backup"]
    assert backup["profiles"] == ["tools"]
    assert backup["restart"] == "no"
    assert not any("profiles" in service for name, service in SERVICES.items() if name != "backup")
    # It comes before a migration, and restores an installation that has never run.
    assert set(backup["depends_on"]) == {"roles", "postgres"}
    mounted = {volume.rpartition(":")[2]: volume.rpartition(":")[0] for volume in backup["volumes"]}
    assert mounted == {"/data": "data", DEFAULTS["TULOU_BACKUP_PLACE"]: "${BACKUPS:-backups}"}
    assert {"data", "backups"} <= set(COMPOSE["volumes"])
    # A volume gets its owner from the folder of the image that it is put over.
    assert re.search(rf"chown tulou:tulou .*{DEFAULTS['TULOU_BACKUP_PLACE']}\b", DOCKERFILE)


def test_the_file_asks_for_nothing_but_choices() -> None:
    assert set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", TEXT)) == CHOICES
    assert not re.search(r"(?<!\$)\$\{[A-Z_]+:\?", TEXT), "without an .env it would not start"


@pytest.mark.parametrize("name", SERVICES)
def test_the_log_of_each_container_has_a_largest_size(name: str) -> None:
    assert SERVICES[name]["logging"] == {"driver": "local", "options": {"max-size": "20m", "max-file": "5"}}


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_has_capabilities_or_a_root_that_it_can_write_to(name: str) -> None:
    service = SERVICES[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "pids_limit" in service
    assert "cap_add" not in service


SECRETS_OF = {
    "api": {"database_url", "redis_url", *KEYS, "metrics_token", "smtp_url"},
    "relay": {"database_url", "redis_url"},
    "worker-default": {"database_url", "redis_url", "token_keys", "mail_keys"},
    "worker-mail": {"database_url", "redis_url", "mail_keys", "smtp_url"},
    "worker-files": {"database_url", "redis_url"},
    "migrate": {"database_url", "database_owner_url"},
    "backup": {"database_url", "database_owner_url", "redis_url", *KEYS},
    "roles": {"postgres_password", "database_owner_password", "database_application_password"},
    "postgres": {"postgres_password"},
    "redis": {"redis_password"},
    "mail": set(),
}


@pytest.mark.parametrize("name", SERVICES)
def test_each_container_gets_the_secrets_that_it_needs_and_no_others(name: str) -> None:
    service = SERVICES[name]
    given = set(service.get("secrets", []))
    assert given == SECRETS_OF[name]
    used = {value.removeprefix(RUN) for value in service.get("environment", {}).values() if RUN in str(value)}
    used |= set(re.findall(r"/run/secrets/(\w+)", str(service.get("entrypoint", ""))))
    assert used == given
    for variable, value in service.get("environment", {}).items():
        if name in OF_TULOU and RUN in str(value):
            assert FILES[variable].removeprefix("emails_") == value.removeprefix(RUN)


def test_no_secret_is_in_an_argument_or_a_variable() -> None:
    assert {name: found["file"] for name, found in COMPOSE["secrets"].items()} == {
        name: f"${{SECRETS_FOLDER:-./secrets}}/{name}" for name in SECRETS
    }
    for name, service in SERVICES.items():
        told = f"{service.get('entrypoint')} {service.get('command')} {service.get('environment')}"
        assert "--requirepass" not in told, name
        assert not re.search(r"--set \w*password", told), name


def test_stops_are_given_the_time_that_the_settings_promise() -> None:
    settings = Settings()
    grace = {name: int(SERVICES[name].get("stop_grace_period", "10s").rstrip("s")) for name in OF_TULOU}
    assert grace["api"] > settings.shutdown_grace
    assert all(
        grace[f"worker-{queue}"] > settings.worker_soft_shutdown for queue in ("default", "mail", "files")
    )


@pytest.mark.parametrize("name", [name for name in OF_TULOU if name.startswith("worker-")])
def test_children_that_grow_are_replaced_before_their_container_is_killed(name: str) -> None:
    settings = Settings()
    most = SERVICES[name].get("environment", {}).get("TULOU_JOBS_CHILD_MEMORY_BYTES")
    children = settings.worker_concurrency * int(most or settings.jobs_child_memory_bytes)
    limit = SERVICES[name]["mem_limit"]
    assert children + PARENT < int(limit[:-1]) << {"m": 20, "g": 30}[limit[-1]]


def test_redis_drops_nothing_and_asks_for_a_password() -> None:
    command = " ".join(SERVICES["redis"]["entrypoint"])
    assert "--maxmemory-policy noeviction" in command
    assert "requirepass $$(cat /run/secrets/redis_password)" in command
    assert COMPOSE["networks"]["servers"]["internal"] is True
    assert all(SERVICES[name]["networks"] == ["servers"] for name in ("postgres", "redis"))
    assert not any("ports" in SERVICES[name] for name in ("postgres", "redis"))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A folder in which `tulou init-env` has been."""
    assert CliRunner().invoke(tulou, ["init-env", str(tmp_path)]).exit_code == 0
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_files_of_secrets_are_good_private_and_never_written_over(written: Path) -> None:
    assert (mode(written / "secrets"), mode(written / ".env"), mode(written / "tulou.env")) == (
        0o700, 0o600, 0o600,
    )  # fmt: skip
    files = {path.name: path for path in (written / "secrets").iterdir()}
    assert set(files) == set(SECRETS)
    assert {mode(path) for path in files.values()} == {0o444}, "containers read them as other users"
    values = {name: path.read_text() for name, path in files.items()}
    assert len(set(values.values())) == len(SECRETS)
    assert all(value == f"{value.strip()}\n" for value in values.values())
    assert assignments(written / ".env") == {}
    assert set(assignments(written / "tulou.env")) <= KNOWN
    again = CliRunner().invoke(tulou, ["init-env", str(written)])
    assert again.exit_code == 1
    assert {name: path.read_text() for name, path in files.items()} == values


def test_secrets_of_an_older_version_are_taken_over(tmp_path: Path) -> None:
    """It kept passwords in `.env` and keys in `tulou.env`."""
    old = {".env": "REDIS_PASSWORD=old-one\nAPI_PORT=9000\n", "tulou.env": "TULOU_TOKEN_KEY=old-key\n"}
    for name, text in old.items():
        (tmp_path / name).write_text(text)
    assert CliRunner().invoke(tulou, ["init-env", str(tmp_path)]).exit_code == 0
    assert {name: (tmp_path / name).read_text() for name in old} == old
    secret = {path.name: path.read_text().strip() for path in (tmp_path / "secrets").iterdir()}
    assert (secret["redis_password"], secret["token_keys"]) == ("old-one", "old-key")
    assert secret["redis_url"] == "redis://:old-one@redis:6379/0"


@pytest.mark.parametrize("name", OF_TULOU)
def test_what_a_container_is_given_will_do_for_production(name: str, written: Path, monkeypatch) -> None:
    secrets = written / "secrets"
    password = (secrets / "redis_password").read_text().strip()
    (secrets / "smtp_url").chmod(0o600)
    (secrets / "smtp_url").write_text(f"smtps://user:{password}@mail.test\n")
    production = {
        "TULOU_ENV": "production",
        "TULOU_PUBLIC_URL": "https://api.tulou.internal",
        "TULOU_TRUSTED_PROXIES": "172.16.0.0/12",
    }
    for variable in [each for each in os.environ if each.startswith("TULOU_") or each.endswith("_URL")]:
        monkeypatch.delenv(variable)
    given = {
        variable: str(value).replace(RUN, f"{secrets}/")
        for variable, value in SERVICES[name]["environment"].items()
    }
    for variable, value in (assignments(written / "tulou.env") | production | given).items():
        monkeypatch.setenv(variable, value)
    queue = name.removeprefix("worker-")
    needs = required_settings("worker", [queue]) if queue != name else required_settings(name)
    assert load_settings(needs).env == "production"


def test_the_image_is_made_without_buildkit_and_runs_as_nobody() -> None:
    lines = DOCKERFILE.splitlines()
    instructions = [line for line in lines if line and not line.startswith(("#", " "))]
    assert instructions[0].startswith("ARG PYTHON_IMAGE=")
    assert [line for line in instructions if line.startswith("FROM")] == [
        "FROM ${PYTHON_IMAGE} AS build",
        "FROM ${PYTHON_IMAGE}",
    ]
    assert not any("--mount" in line or "<<" in line or line.startswith("# syntax") for line in lines)
    final = instructions[len(instructions) - instructions[::-1].index("FROM ${PYTHON_IMAGE}") :]
    assert "USER 10001:10001" in final
    assert any(line.startswith("HEALTHCHECK") and "tulou-alive" in line for line in final)
    named = set(re.findall(r"\b(TULOU_[A-Z_]+)=", "\n".join(lines)))
    assert named <= KNOWN
    copied = [line.split()[1] for line in instructions if line.startswith("COPY") and "--from" not in line]
    ignored = (PROJECT / ".dockerignore").read_text()
    for source in copied:
        assert f"!{source}" in ignored, f"{source} is not sent to the build"
