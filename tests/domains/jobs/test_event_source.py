"""The events of a job, read as a browser's EventSource reads them (WHATWG HTML, section 9.2)."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.domains.jobs.conftest import GATES, Enqueue
from tests.domains.jobs.seeing import run_once

MOST_CONNECTIONS = 20


@dataclass
class EventSource:
    """Reconnects when a stream ends, as the standard says: until an answer is not 200, or no event stream."""

    client: httpx.AsyncClient
    url: str
    headers: dict[str, str]
    last_event_id: str = ""
    reconnection_time: int = 0
    statuses: list[int] = field(default_factory=list)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def read(self) -> None:
        """Read until the connection is failed for good. It doesn't wait between two connections."""
        while len(self.statuses) < MOST_CONNECTIONS:
            headers = self.headers | {"Accept": "text/event-stream"}
            if self.last_event_id:
                headers["Last-Event-ID"] = self.last_event_id
            answer = await self.client.get(self.url, headers=headers)
            self.statuses.append(answer.status_code)
            if answer.status_code != 200 or not answer.headers["content-type"].startswith(
                "text/event-stream"
            ):
                return
            for block in answer.text.split("\n\n"):
                self._interpret(block)

    def _interpret(self, block: str) -> None:
        """Section 9.2.6: the fields of one block; it is dispatched if it has data."""
        kind, data = "message", []
        for line in block.splitlines():
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                kind = value
            elif name == "data":
                data.append(value)
            elif name == "id":
                self.last_event_id = value
            elif name == "retry" and value.isdigit():
                self.reconnection_time = int(value)
        if data:
            self.events.append((kind, json.loads("\n".join(data))))


async def test_an_event_source_stops_once_the_job_has_ended(client, user, enqueue: Enqueue, runner) -> None:
    GATES[20] = asyncio.Event()
    job_id = await enqueue("step", number=20)
    running = asyncio.create_task(run_once(runner, job_id))
    asyncio.get_running_loop().call_later(0.5, GATES[20].set)
    source = EventSource(client, f"/v1/jobs/{job_id}/events", user.headers)
    await source.read()
    await running
    assert source.statuses == [200, 204]
    assert {kind for kind, _ in source.events} == {"job"}
    assert source.events[-1][1]["status"] == "succeeded"
    assert source.reconnection_time == 2000


async def test_an_event_source_that_missed_the_end_is_told_of_it(
    client, user, enqueue: Enqueue, runner
) -> None:
    job_id = await enqueue()
    await run_once(runner, job_id)
    source = EventSource(client, f"/v1/jobs/{job_id}/events", user.headers, last_event_id="1")
    await source.read()
    assert source.statuses == [200, 204]
    assert [body["status"] for _, body in source.events] == ["succeeded"]


async def test_an_id_from_before_a_restore_hides_nothing(client, user, enqueue: Enqueue, runner) -> None:
    job_id = await enqueue()
    await run_once(runner, job_id)
    source = EventSource(client, f"/v1/jobs/{job_id}/events", user.headers, last_event_id="999")
    await source.read()
    assert source.statuses == [200, 204]
    assert [body["status"] for _, body in source.events] == ["succeeded"]


async def test_the_last_answer_has_no_body(client, user, enqueue: Enqueue, runner) -> None:
    job_id = await enqueue()
    await run_once(runner, job_id)
    source = EventSource(client, f"/v1/jobs/{job_id}/events", user.headers)
    await source.read()
    answer = await client.get(source.url, headers=user.headers | {"Last-Event-ID": source.last_event_id})
    assert (answer.status_code, answer.content) == (204, b"")


async def test_an_event_source_of_a_session_that_ended_stops(client, user, enqueue: Enqueue) -> None:
    job_id = await enqueue("step", number=21)
    source = EventSource(client, f"/v1/jobs/{job_id}/events", user.headers)
    reading = asyncio.create_task(source.read())
    await asyncio.sleep(0.2)
    await client.post("/v1/auth/logout", headers=user.headers)
    await asyncio.wait_for(reading, 10)
    assert source.statuses == [200, 401]
