"""Files: bombs for those who open them, a disk that is full."""

import asyncio
import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from tools.faults.bombs import KEPT, OPENED
from tools.faults.client import Client
from tools.faults.deaths import PACE
from tools.faults.harness import Harness
from tools.faults.oracle import Row, drain, judge, outcomes
from tools.faults.people import People, Person
from tools.faults.processes import with_small_disk
from tools.faults.register import fault

KINDS = ["files.process"]
CPU_SECONDS = 3
MEGABYTE = 1 << 20
DISK = 24 * MEGABYTE


@fault(
    19,
    "Image bombs, circling and endless PDFs, crowded and inflating archives",
    expected="each failed with a typed error within its limit, archives never unpacked; `default` unaffected",
)
async def bombs_are_uploaded(harness: Harness) -> Row:
    row = Row()
    count = harness.count(50, least=10)
    bombs = OPENED | KEPT
    settings = {"TULOU_FILES_SANDBOX_CPU_SECONDS": str(CPU_SECONDS), "TULOU_FILES_SANDBOX_SECONDS": "10"}
    async with harness.system(workers=1, **settings) as system, Client(system) as client:
        worker = await system.add_worker("files")
        person = await People(client.http, None).register()
        load = asyncio.create_task(client.load(int(PACE * count), per_second=PACE))
        answers: Counter[str] = Counter()
        before = worker.memory()
        for number in range(count):
            name = list(bombs)[number % len(bombs)]
            content = await asyncio.to_thread(bombs[name], number)
            answer = await _upload(client, person, name, content)
            answers[f"{name} {answer.status_code}"] += 1
        opened = sum(count for name, count in answers.items() if name.split()[0] in OPENED)
        await drain(harness, seconds=opened * (CPU_SECONDS + 3), kinds=KINDS)
        await load
        await judge(harness, row, client.accepted)
        ended = await outcomes(harness, kinds=KINDS)
        codes = await harness.fetch(
            "SELECT error->>'code' AS code, state FROM jobs.jobs WHERE kind = 'files.process'"
        )
        longest = await harness.value(
            "SELECT extract(epoch FROM max(finished_at - begun_at))::float FROM jobs.jobs WHERE kind = 'files.process'"
        )
        after = worker.memory()
        row.expect(worker.code is None, "the worker still runs")
    fates = Counter(f"{record['state']} {record['code']}" for record in codes)
    typed = {"files.image_too_large", "files.broken_document", "files.parser_limit"}
    row.expect(len(ended) == opened, f"{opened} were processed, {dict(answers)}")
    row.expect(all(r["state"] == "failed" and r["code"] in typed for r in codes), f"ends {dict(fates)}")
    row.expect(
        longest < CPU_SECONDS + 10,
        f"{longest:.1f} s at most for one, limit {CPU_SECONDS} s of processor time",
    )
    row.expect(after < before + 150, f"memory of the worker {before:.0f} MiB before, {after:.0f} after")
    row.expect(row.longest_wait < 2, f"`default` meanwhile: {row.longest_wait:.2f} s of wait at most")
    return row


async def _upload(client: Client, person: Person, name: str, content: bytes) -> httpx.Response:
    return await client.http.post(
        "/v1/files", files={"file": (name, content)}, headers=person.headers, timeout=60
    )


@fault(20, "The disk of the uploads is full, then freed", expected="507, no partial file visible")
async def the_disk_is_full(harness: Harness) -> Row:
    row = Row()
    count = harness.count(100, least=40)
    disk = harness.folder / "small-disk"
    disk.mkdir(exist_ok=True)
    store, inside = f"file://{disk}/files", with_small_disk(disk, DISK)
    async with (
        harness.system(workers=0, relays=0, api_inside=inside, TULOU_FILES_STORE_URL=store) as system,
        Client(system) as client,
    ):
        seen = Path(f"/proc/{system.api.pid}/root{disk}")  # the disk is there for the API alone
        ballast = seen / "ballast"
        ballast.write_bytes(bytes(DISK // 2))
        person = await People(client.http, None).register()
        digests: dict[str, str] = {}
        full = await _upload_many(harness, client, person, digests, count)
        row.expect(set(full) == {201, 507}, f"answers while it is full {dict(full)}")
        ballast.unlink()
        freed = await _upload_many(harness, client, person, digests, 5)
        row.expect(set(freed) == {201}, f"answers after it was freed {dict(freed)}")
        await _compare(row, client, person, digests)
        kept = sorted(path.stat().st_size for path in (seen / "files").rglob("*") if path.is_file())
    row.expect(
        kept == [MEGABYTE] * len(digests), f"{len(kept)} complete files on the disk, {len(digests)} accepted"
    )
    return row


async def _upload_many(
    harness: Harness, client: Client, person: Person, digests: dict[str, str], count: int
) -> Counter[int]:
    """Upload files of a megabyte, four at a time; note the digest of each that was accepted."""
    room, answers = asyncio.Semaphore(4), Counter[int]()

    async def one() -> None:
        content = harness.random.randbytes(MEGABYTE // 2).hex().encode()
        async with room:
            answer = await _upload(client, person, "notes.txt", content)
        answers[answer.status_code] += 1
        if answer.status_code == httpx.codes.CREATED:
            digests[answer.json()["id"]] = hashlib.sha256(content).hexdigest()

    await asyncio.gather(*(one() for _ in range(count)))
    return answers


async def _compare(row: Row, client: Client, person: Person, digests: dict[str, str]) -> None:
    """Compare what is listed and what is downloaded with what was accepted."""
    listed, cursor = set(), None
    while True:
        query: dict[str, Any] = {"limit": 100} | ({"cursor": cursor} if cursor else {})
        page = (await client.http.get("/v1/files", params=query, headers=person.headers)).json()
        listed |= {file["id"] for file in page["data"]}
        cursor = page.get("next_cursor")
        if not cursor:
            break
    row.expect(listed == set(digests), f"{len(listed)} files listed")
    row.accepted = len(digests)
    for file_id, digest in digests.items():
        answer = await client.http.get(f"/v1/files/{file_id}/content", headers=person.headers)
        same = hashlib.sha256(answer.content).hexdigest() == digest
        row.done += same
        row.lost += not same
