"""If a layer of the confinement is missing, no file is opened, all else works, and operators see which layer."""

import asyncio
import json
import os
import platform
import pwd
import subprocess
import sys

import pytest

from domains.files.gateway.seccomp import _SECCOMP_CALL
from domains.files.gateway.system_calls import REFUSED
from domains.files.gateway.verification import find_missing_confinement
from tests.domains.files.http_helpers import PHOTO, get
from tests.security.sandbox import hostile
from tests.security.sandbox.conftest import LAUNCH, RENDERER_USER
from tests.security.sandbox.test_taken_over import worked

LANDLOCK = (444, 445, 446)
CHANGE_USER = REFUSED["setresuid"][("x86_64", "aarch64").index(platform.machine())]


def has_account() -> bool:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return True


needs_database = pytest.mark.skipif(
    not has_account(), reason="PostgreSQL's initdb needs an account: this user has no entry in /etc/passwd"
)


@pytest.mark.parametrize(
    ("calls", "sentence"),
    [
        pytest.param(LANDLOCK, "no Landlock here (Function not implemented). Use Linux 5.13", id="Landlock"),
        pytest.param((_SECCOMP_CALL[platform.machine()],), "seccomp refuses a filter", id="seccomp"),
    ],
)
def test_a_kernel_without_a_layer_opens_nothing(plain_place, calls, sentence) -> None:
    assert sentence in plain_place.attacked("main", missing=calls)["main"]["unavailable"]


@pytest.mark.parametrize(
    ("capability", "sentence"),
    [
        pytest.param(0, "or give them CAP_CHOWN", id="CAP_CHOWN"),
        pytest.param(5, "or give them CAP_KILL", id="CAP_KILL"),
        pytest.param(6, "give them CAP_SETUID and CAP_SETGID", id="CAP_SETGID"),
        pytest.param(7, "give them CAP_SETUID and CAP_SETGID", id="CAP_SETUID"),
    ],
)
def test_root_without_a_capability_that_it_needs_opens_nothing(root_place, capability, sentence) -> None:
    told = root_place.attacked("main", capabilities=[capability])
    assert sentence in told["main"]["unavailable"]


def test_root_needs_no_more_than_these_capabilities(root_place) -> None:
    others = set(range(40)) - {0, 2, 5, 6, 7}  # and the one to read this interpreter, which only root may
    outcomes = root_place.attacked("main", capabilities=sorted(others))["main"]["outcomes"]
    assert worked(outcomes) == set()


def test_root_that_cannot_change_its_user_opens_nothing(root_place) -> None:
    refused = root_place.attacked("main", missing=[CHANGE_USER])["main"]["unavailable"]
    assert f"can't become user {RENDERER_USER}" in refused
    assert "as another user" in refused


@pytest.mark.parametrize(
    ("without", "sentence"),
    [
        ("architecture", "architecture 'vax'"),
        ("one thread", "has 2 threads before it is confined"),
        ("parent", "The worker that started this process is gone"),
    ],
)
def test_a_process_that_cannot_be_confined_opens_nothing(plain_place, without, sentence) -> None:
    assert sentence in plain_place.attacked("main", without=without)["main"]["unavailable"]


def test_the_worker_sees_what_is_missing_from_outside() -> None:
    sleeping = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    assert "has no seccomp filter" in str(find_missing_confinement(sleeping.pid, was_root=False))
    sleeping.communicate()
    assert "can't be read from /proc" in str(find_missing_confinement(sleeping.pid, was_root=False))


@needs_database
async def test_uploads_and_downloads_go_on_and_the_job_waits(
    client, user, composition, work_off, only_here, monkeypatch, caplog
) -> None:
    sandbox = composition.files.sandbox()
    await sandbox.stop()
    monkeypatch.setattr(sandbox, "program", hostile.program("main", "architecture"))
    files = {"file": ("me.jpg", PHOTO, "image/jpeg")}
    file = (await client.post("/v1/files", files=files, headers=user.headers)).json()
    await work_off()
    job = (await get(client, user, file["jobs"][0]["url"])).json()
    assert (job["status"], job["error"]["code"]) == ("retrying", "files.sandbox_unavailable")
    assert "vax" not in str(job)
    assert "vax" in caplog.text
    content = await get(client, user, f"/v1/files/{file['id']}/content")
    assert content.content == PHOTO
    await sandbox.stop()


@needs_database
async def test_the_doctor_says_which_layer_is_missing(servers, settings) -> None:
    launch = (sys.executable, "-I", str(LAUNCH), json.dumps({"missing": LANDLOCK}))
    process = await asyncio.create_subprocess_exec(
        *(*launch, sys.executable, "-m", "bootstrap.cli.main", "doctor", "--json"),
        env={**os.environ, **servers.environment},
        cwd=hostile.PROJECT,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    found = next(check for check in json.loads(said)["checks"] if check["name"] == "sandbox")
    assert found["state"] == "ill"
    assert "no Landlock here" in found["finding"]
    assert "uploads and downloads go on" in found["cure"]
