"""Requests that tests of files send."""

from pathlib import Path

import httpx

DATA = Path(__file__).parents[2] / "data"
PHOTO = (DATA / "astronaut.jpg").read_bytes()
MANUAL = (DATA / "bzip2-manual.pdf").read_bytes()
MIB = 1 << 20


async def get(client, person, path: str, **headers: str) -> httpx.Response:
    return await client.get(path, headers=person.headers | headers)


async def usage_of(client, person) -> tuple[int, int, int]:
    body = (await get(client, person, "/v1/files/usage")).json()
    return body["bytes"], body["reserved_bytes"], body["count"]
