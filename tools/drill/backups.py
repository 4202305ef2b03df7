"""A backup is made under load, the data is damaged, and the backup brings it back without those who left."""

import asyncio
import shutil
from pathlib import Path

import httpx

from tools.drill.commands import last_line, tulou
from tools.drill.register import Finding, rehearsal
from tools.drill.stage import stage
from tools.faults.harness import Harness
from tools.faults.people import PASSWORD, People, Person

_CONTENT = b"what stays"
_USERS = "SELECT count(*) FROM users.users"


@rehearsal(
    "restore",
    "A backup under load, an erased account, lost data and files, a restore",
    expected="no request is refused during the backup, a damaged backup changes nothing, the erased account stays"
    " erased",
)
async def a_backup_is_restored(harness: Harness) -> Finding:
    finding, backup = Finding(), harness.folder / "backup"
    async with stage(harness) as scene, scene.client() as client:
        people = People(client, None)
        stays, leaves = await people.register(), await people.register()
        upload = {"file": ("a.txt", _CONTENT, "text/plain")}
        file = (await client.post("/v1/files", headers=stays.headers, files=upload)).json()
        async with scene.going_on(finding):
            await asyncio.sleep(harness.seconds(5))
            code, said = await tulou(harness, "backup", str(backup))
            finding.expect(code == 0, f"`tulou backup` ended with {code}: {last_line(said)}")
            await asyncio.sleep(harness.seconds(5))
        finding.expect_no_refusal()
        body = {"password": PASSWORD}
        gone = await client.request("DELETE", "/v1/users/me", json=body, headers=leaves.headers)
        finding.expect(gone.is_success, f"an account is closed: {gone.status_code}")
        erased = f"SELECT count(*) FROM users.users WHERE id = '{leaves.id}'"
        finding.expect(await harness.until_value(erased, 0, seconds=60), "and is erased")
        await scene.judge(finding)
    await _refuse_a_damaged_one(harness, finding, backup)
    await _lose_everything(harness)
    code, said = await tulou(harness, "restore", str(backup), "--replace", "--confirm", "tulou")
    finding.expect(code == 0, f"`tulou restore` ended with {code}: {last_line(said)}")
    await _look(harness, finding, stays, leaves, f"/v1/files/{file['id']}/content")
    return finding


async def _refuse_a_damaged_one(harness: Harness, finding: Finding, backup: Path) -> None:
    damaged = harness.folder / "damaged"
    await asyncio.to_thread(shutil.copytree, backup, damaged)
    part = max((damaged / "files").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else -1)
    content = bytearray(part.read_bytes())
    content[0] ^= 1
    part.write_bytes(content)
    before = await harness.value(_USERS)
    code, said = await tulou(harness, "restore", str(damaged), "--replace", "--confirm", "tulou")
    finding.expect(
        code != 0, f"with one changed byte in the backup: restore ended with {code}: {last_line(said)}"
    )
    after = await harness.value(_USERS)
    finding.expect(after == before, f"{before} accounts before that, {after} after it")


async def _lose_everything(harness: Harness) -> None:
    await harness.fetch("TRUNCATE users.users, files.files CASCADE")
    await asyncio.to_thread(shutil.rmtree, harness.folder / "files" / "blobs")


async def _look(harness: Harness, finding: Finding, stays: Person, leaves: Person, path: str) -> None:
    async with (
        harness.system(workers=0) as system,
        httpx.AsyncClient(base_url=system.url, timeout=30) as client,
    ):
        person = await People(client, None).sign_in(stays.email)
        content = (await client.get(path, headers=person.headers)).content
        finding.expect(content == _CONTENT, f"the file of a remaining account has {len(content)} bytes")
        form = {"grant_type": "password", "username": leaves.email, "password": PASSWORD}
        answer = await client.post("/v1/auth/token", data=form)
        finding.expect(not answer.is_success, f"the erased account signs in: {answer.status_code}")
