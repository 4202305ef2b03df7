"""deploy/compose/production.yml, which extends docker-compose.yml, tested without Docker."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bootstrap.settings.environment import known_variables
from bootstrap.settings.model import Settings
from tests.deployment.examples import DEPLOY, compose_services

OVERRIDE = DEPLOY / "compose" / "production.yml"
SERVICES: dict[str, Any] = compose_services(OVERRIDE)
PLAIN: dict[str, Any] = compose_services(None)
CADDYFILE = (DEPLOY / "compose" / "Caddyfile").read_text()
UPDATE = DEPLOY / "compose" / "update.sh"
ADDED = set(SERVICES) - set(PLAIN)
CHOICES = {
    "IMAGE", "PROXY_IMAGE", "SETTINGS_FILE", "API_DOMAIN", "HTTP_PORT", "HTTPS_PORT", "BACKUPS", "BACKUP_AT",
    "BACKUP_KEEP",
}  # fmt: skip


def seconds(text: str) -> int:
    return int(text.rstrip("s"))


def test_the_second_api_is_as_the_first() -> None:
    different = {"build", "ports"}
    assert SERVICES["api-2"] == {key: value for key, value in SERVICES["api"].items() if key not in different}


@pytest.mark.parametrize("name", sorted(ADDED))
def test_what_is_added_is_closed_in_limited_and_watched(name: str) -> None:
    service = SERVICES[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit", "healthcheck"} <= set(service)
    assert service["restart"] == "unless-stopped"
    assert service["logging"] == PLAIN["api"]["logging"]


def test_only_the_proxy_has_a_capability_and_ports_for_everybody() -> None:
    assert {name for name, service in SERVICES.items() if "cap_add" in service} == {"proxy"}
    assert SERVICES["proxy"]["cap_add"] == ["NET_BIND_SERVICE"]
    open_to_all = {
        name
        for name, service in SERVICES.items()
        if any(not port.startswith("127.0.0.1:") for port in service.get("ports", []))
    }
    assert open_to_all == {"proxy"}
    assert SERVICES["proxy"]["networks"] == ["default"]
    assert "secrets" not in SERVICES["proxy"]


def test_the_proxy_asks_both_apis_whether_they_are_ready(app) -> None:
    (upstreams,) = re.findall(r"reverse_proxy (.+) \{", CADDYFILE)
    serving = {name for name, service in SERVICES.items() if service.get("command") == ["serve"]}
    assert {upstream.removesuffix(":8000") for upstream in upstreams.split()} == serving
    (asked,) = re.findall(r"health_uri (\S+)", CADDYFILE)
    assert asked in app.openapi()["paths"]
    assert set(SERVICES["proxy"]["depends_on"]) == serving


def test_the_proxy_notices_before_an_api_refuses_requests() -> None:
    (interval,) = re.findall(r"health_interval (\d+)s", CADDYFILE)
    (timeout,) = re.findall(r"health_timeout (\d+)s", CADDYFILE)
    (keepalive,) = re.findall(r"keepalive (\d+)s", CADDYFILE)
    settings = Settings()
    for name in ("api", "api-2"):
        delay = SERVICES[name]["environment"]["TULOU_SHUTDOWN_DELAY"]
        assert delay > int(interval) + int(timeout)
        assert seconds(SERVICES[name]["stop_grace_period"]) > delay + settings.shutdown_grace + 4
    assert int(keepalive) < settings.keep_alive_timeout


def test_bodies_as_large_as_the_settings_allow_pass_the_proxy() -> None:
    (largest,) = re.findall(r"max_size (\d+)MB", CADDYFILE)
    assert int(largest) * 1_000_000 > Settings().files_max_bytes


def test_a_backup_is_taken_each_night_and_old_ones_are_deleted() -> None:
    backup = SERVICES["nightly-backup"]
    assert "tulou backup" in backup["entrypoint"][2]
    assert backup["environment"]["TULOU_BACKUP_KEEP"] == "${BACKUP_KEEP:-14}"
    assert backup["volumes"] == PLAIN["backup"]["volumes"]
    assert set(backup["secrets"]) == set(PLAIN["backup"]["secrets"])
    script = backup["entrypoint"][2].replace("$$", "$")
    assert subprocess.run(["sh", "-n"], input=script, text=True, timeout=30, check=False).returncode == 0


def test_variables_of_tulou_are_settings() -> None:
    known = known_variables(Settings.model_fields)
    for service in SERVICES.values():
        for name in service.get("environment", {}):
            if name.startswith("TULOU_"):
                assert name.removesuffix("_FILE") in known


def test_the_catcher_of_mails_is_not_started() -> None:
    assert SERVICES["mail"]["profiles"] == ["catcher"]


def test_the_file_asks_for_choices_only() -> None:
    assert set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", OVERRIDE.read_text())) == CHOICES


@pytest.mark.parametrize(("code", "goes_on"), [(0, True), (3, True), (1, False)])
def test_an_update_needs_a_backup(tmp_path: Path, code: int, *, goes_on: bool) -> None:
    done = tmp_path / "done"
    for name, text in {
        "docker": "echo healthy",
        "compose": f'echo "$*" >> {done}; [ "$1" != ps ] || echo c1; [ "$4" != backup ] || exit {code}',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "COMPOSE": "compose", "PROXY_NOTICES": "0"}
    result = subprocess.run(["sh", str(UPDATE)], env=environment, timeout=60, check=False)
    assert result.returncode == (0 if goes_on else code)
    assert ("run --rm -T migrate" in done.read_text()) is goes_on


def test_an_update_replaces_each_process_workers_first_and_one_api_after_the_other() -> None:
    assert subprocess.run(["sh", "-n", str(UPDATE)], timeout=30, check=False).returncode == 0
    loops = re.findall(r"for service in ([\w -]+); do", UPDATE.read_text())
    workers, apis = (found.split() for found in loops)
    lasting = {
        name
        for name, service in SERVICES.items()
        if "tulou" in service["image"] and service["restart"] != "no" and name != "nightly-backup"
    }
    assert {*workers, *apis} == lasting
    assert set(apis) == {"api", "api-2"}
