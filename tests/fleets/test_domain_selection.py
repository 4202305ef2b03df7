"""The API split into two fleets behind one address is still one API, and no event loses its subscriber."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from bootstrap.compose import compose
from bootstrap.domain_selection import kinds_of, queues_of, with_domains
from bootstrap.settings.model import SettingsError
from domains.auth.job_types import PURGE_ACCOUNT

PROJECT = Path(__file__).parents[2]


def test_the_whole_story_passes_through_a_split_deployment(split_deployment, servers) -> None:
    result = subprocess.run(
        [sys.executable, "scripts/demo.py"],
        cwd=PROJECT,
        env={**os.environ, "TULOU_URL": split_deployment.url, "TULOU_DATA_DIR": str(servers.folder)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr + split_deployment.workers["files"].output
    assert all(count > 2 for count in split_deployment.proxy.served.values())


def test_each_api_shows_and_serves_its_domains_alone(split_deployment) -> None:
    files = httpx.get(f"{split_deployment.files_url}/openapi.json").json()
    others = httpx.get(f"{split_deployment.others_url}/openapi.json").json()
    assert {path.split("/")[2] for path in files["paths"] if path.startswith("/v1/")} == {"files"}
    assert {tag["name"] for tag in files["tags"]} == {"files", "health", "errors"}
    assert not any(path.startswith("/v1/files") for path in others["paths"])
    assert httpx.get(f"{split_deployment.files_url}/v1/users/me").status_code == 404
    assert httpx.get(f"{split_deployment.others_url}/v1/users/me").status_code == 401
    assert httpx.get(f"{split_deployment.files_url}/health/ready").json()["domains"] == ["files"]


def test_a_worker_of_some_domains_runs_their_jobs_and_knows_all(settings) -> None:
    of_files = compose(with_domains(settings, "files"), "worker")
    assert kinds_of(of_files) == {
        f"files.{name}" for name in ("erase", "index", "process", "prune_erasures", "settle", "sweep")
    }
    assert of_files.registry().find(PURGE_ACCOUNT.kind) is not None
    assert kinds_of(compose(settings, "worker")) is None


def test_queues_follow_from_domains(settings) -> None:
    assert queues_of(with_domains(settings, "emails"), ["mail"]) == ["mail"]
    assert queues_of(with_domains(settings, "emails, files"), None) == ["default", "files", "mail"]
    assert queues_of(settings, ["mail,files", "default"]) == ["mail", "files", "default"]


@pytest.mark.parametrize(
    ("domains", "queues", "said"),
    [
        (None, None, "Say which queues"),
        ("letters_of_nobody", ["mail"], "TULOU_DOMAINS names letters_of_nobody; the domains are auth, "),
        ("files", ["mail"], "No job of files uses mail; they use default, files."),
        ("users", None, "No job of users uses any queue; they use none."),
    ],
)
def test_what_would_do_nothing_is_refused(settings, domains, queues, said) -> None:
    with pytest.raises(SettingsError, match=said):
        queues_of(with_domains(settings, domains), queues)
