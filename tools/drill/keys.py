"""Keys are replaced by new ones, without a request that is refused."""

import asyncio
import base64
import os

import httpx

from tools.drill.register import Finding, rehearsal
from tools.drill.stage import Stage, stage
from tools.faults.harness import Harness
from tools.faults.people import People, Person

_ENDINGS = ("_KEY", "_KEYS", "_KEYS_ES256")


@rehearsal(
    "keys",
    "All keys are replaced: the new one is added, put first, and the old one removed",
    expected="no request is refused; sessions from before stay valid while the old key is set",
)
async def keys_are_replaced(harness: Harness) -> Finding:
    finding = Finding()
    old = {name: value for name, value in harness.environment.items() if name.endswith(_ENDINGS)}
    new = {name: base64.urlsafe_b64encode(os.urandom(32)).decode() for name in old}
    finding.note(f"replaced {', '.join(sorted(old))}")
    async with stage(harness) as scene, scene.client() as client:
        people = People(client, None)
        before, forgotten = await people.register(), await people.register()
        async with scene.going_on(finding):
            await _start_with(scene, {name: f"{old[name]},{new[name]}" for name in old})
            await _start_with(scene, {name: f"{new[name]},{old[name]}" for name in old})
            refreshed = await _refreshed(client, before)
            finding.expect(refreshed == httpx.codes.OK, f"a session from before is refreshed: {refreshed}")
            between = await people.register()
            await asyncio.sleep(harness.seconds(5))
        await _start_with(scene, new)
        answer = await client.get("/v1/users/me", headers=between.headers)
        finding.expect(answer.is_success, f"without the old key, a newer access token: {answer.status_code}")
        refreshed = await _refreshed(client, between)
        finding.expect(refreshed == httpx.codes.OK, f"and a newer session is refreshed: {refreshed}")
        refreshed = await _refreshed(client, forgotten)
        finding.expect(refreshed != httpx.codes.OK, f"a refresh token of the old key: {refreshed}")
        await scene.judge(finding)
    finding.expect_no_refusal()
    return finding


async def _start_with(scene: Stage, keys: dict[str, str]) -> None:
    await scene.replace_apis(**keys)
    await scene.replace_the_others(**keys)


async def _refreshed(client: httpx.AsyncClient, person: Person) -> int:
    form = {"grant_type": "refresh_token", "refresh_token": person.refresh_token}
    return (await client.post("/v1/auth/token", data=form)).status_code
