"""Attacks with bodies and answers that are begun and never taken to their end."""

from pathlib import Path

import httpx

from tools.faults.attacks.register import Finding, attack
from tools.faults.attacks.scene import Scene, under_attack
from tools.faults.harness import Harness

MEBIBYTE = 1 << 20
COUNT = 300
_LINE = b"a line of text\n"
_DOT = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63f8cfc0f01f00050001ff"
    "5d9a9c6b0000000049454e44ae426082"
)


@attack(
    "downloads",
    "300 downloads of 64 MiB that are never read",
    expected="those over the limits get 429, each of the others uses two small buffers",
)
async def downloads_are_not_read(harness: Harness) -> Finding:
    async with under_attack(harness) as scene:
        file = await _upload(scene, _LINE * (64 * MEBIBYTE // len(_LINE)), "text/plain")
        path = f"/v1/files/{file['id']}/content"
        return await scene.two_rounds("holding", seconds=harness.seconds(15), connections=COUNT, path=path)


@attack(
    "lists",
    "300 lists of 0.5 MB that are never read",
    expected="over 16 MiB of unread responses of an address, the connections that have waited longest are closed",
)
async def lists_are_not_read(harness: Harness) -> Finding:
    async with under_attack(harness, TULOU_RATE_LIMIT="100000") as scene:
        tags = [f"{number:02}" + "\u20ac" * 62 for number in range(20)]
        for _ in range(100):
            file = await _upload(scene, _DOT, "image/png")
            url, headers = f"/v1/files/{file['id']}", scene.attacker.headers
            answer = await scene.client.patch(
                url, json={"name": "\u20ac" * 255, "tags": tags}, headers=headers
            )
            assert answer.status_code == httpx.codes.OK, answer.text
        path = "/v1/files?limit=100"
        return await scene.two_rounds("holding", seconds=harness.seconds(15), connections=COUNT, path=path)


@attack(
    "uploads",
    "300 uploads of 50 MB that stall after 4.9 MiB",
    expected="those over the limits get 429, the others are written as bytes arrive, and nothing of them remains",
)
async def uploads_are_held(harness: Harness) -> Finding:
    async with under_attack(harness) as scene:
        before = _files(harness)
        head = "POST /v1/files HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 50000000\r\n"
        finding = await scene.two_rounds(
            "sending",
            seconds=harness.seconds(15),
            connections=COUNT,
            head=head,
            begin="",
            size=int(4.9 * MEBIBYTE),
        )
        rows = await harness.value("SELECT count(*) FROM files.files WHERE owner_id = $1", scene.attacker.id)
    left = _files(harness) - before
    finding.expect(not left, f"{len(left)} files are left")
    finding.expect(rows == 0, f"{rows} rows are left")
    return finding


@attack(
    "streams",
    "2,000 event streams of one account",
    expected="as many as an account may have, the others get 429",
)
async def streams_are_held(harness: Harness) -> Finding:
    async with under_attack(harness) as scene:
        file = await _upload(scene, _DOT, "image/png")
        path = f"{file['jobs'][0]['url']}/events"
        finding = await scene.two_rounds(
            "holding", seconds=harness.seconds(15), connections=harness.count(2000), path=path
        )
        finding.expect(scene.answers.get("200", 0) <= 64, f"{scene.answers.get('200', 0)} streams at once")
        finding.expect(scene.answers.get("429"), f"{scene.answers.get('429', 0)} were refused as too many")
        return finding


@attack(
    "boundary",
    "Forms of 16 MiB that are full of their boundary of one character, with an Idempotency-Key",
    expected="a byte costs the same whatever the boundary",
)
async def forms_are_full_of_their_boundary(harness: Harness) -> Finding:
    async with under_attack(harness) as scene:
        return await scene.two_rounds(
            "uploading", seconds=harness.seconds(15), connections=4, boundary="b", size=16 * MEBIBYTE
        )


@attack(
    "bodies",
    "300 JSON bodies of 1 MiB that stall before their last byte",
    expected="those over the limits get 429",
)
async def bodies_are_held(harness: Harness) -> Finding:
    async with under_attack(harness) as scene:
        head = "PATCH /v1/users/me HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 1048576\r\n"
        return await scene.two_rounds(
            "sending",
            seconds=harness.seconds(15),
            connections=COUNT,
            head=head,
            begin="{",
            size=MEBIBYTE - 100,
        )


def _files(harness: Harness) -> set[Path]:
    return {path for path in (harness.folder / "files").rglob("*") if path.is_file()}


async def _upload(scene: Scene, content: bytes, kind: str, **fields: str) -> dict[str, object]:
    files = {"file": ("attack", content, kind)}
    answer = await scene.client.post(
        "/v1/files", files=files, data=fields, headers=scene.attacker.headers, timeout=60
    )
    assert answer.status_code == httpx.codes.CREATED, answer.text
    return answer.json()
