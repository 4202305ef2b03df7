"""Jobs over HTTP."""

import asyncio
import json

import pytest

from shared.ids import new_id
from tests.domains.jobs.conftest import GATES, Enqueue
from tests.domains.jobs.seeing import run_once


async def test_an_owner_reads_a_job(client, user, enqueue: Enqueue, runner, resource) -> None:
    job_id = await enqueue(number=5, resource=resource)
    waiting = await client.get(f"/v1/jobs/{job_id}", headers=user.headers)
    assert waiting.status_code == 200
    assert waiting.json()["status"] == "queued"
    assert waiting.headers["Retry-After"] == "1"
    assert waiting.json()["resource"] == {
        "type": "file",
        "id": str(resource.id),
        "url": f"/v1/files/{resource.id}",
    }
    await run_once(runner, job_id)
    done = await client.get(f"/v1/jobs/{job_id}", headers=user.headers)
    assert done.json()["status"] == "succeeded"
    assert done.json()["result"] == {"number": 5}
    assert done.json()["progress"]["percent"] == 100
    assert done.json()["expires_at"] > done.json()["finished_at"]
    assert "Retry-After" not in done.headers


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry")],
)
async def test_another_persons_job_is_not_there(method, path, client, other, admin, enqueue: Enqueue) -> None:
    job_id = await enqueue()
    answer = await client.request(method, f"/v1/jobs/{job_id}{path}", headers=other.headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "jobs.not_found")
    missing = await client.request(method, f"/v1/jobs/{new_id()}{path}", headers=other.headers)
    assert missing.status_code == 404
    assert (await client.request(method, f"/v1/jobs/{job_id}{path}")).status_code == 401


async def test_jobs_are_listed_page_by_page(client, user, other, enqueue: Enqueue) -> None:
    jobs = [str(await enqueue()) for _ in range(5)]
    seen: list[str] = []
    query = "/v1/jobs?limit=2&kind=tests.obey"
    while query:
        answer = await client.get(query, headers=user.headers)
        assert answer.status_code == 200, answer.text
        seen += [job["id"] for job in answer.json()["data"]]
        link = answer.headers.get("Link")
        assert (link is None) == (answer.json()["next_cursor"] is None)
        query = link[1 : link.index(">")] if link else ""
    assert seen == jobs[::-1]
    theirs = await client.get("/v1/jobs?kind=tests.obey", headers=other.headers)
    assert theirs.json()["data"] == []


async def test_jobs_are_filtered_counted_and_sorted(client, user, enqueue: Enqueue, runner, resource) -> None:
    first = await enqueue(resource=resource)
    second = await enqueue()
    await run_once(runner, first)

    async def ids(query: str) -> list[str]:
        answer = await client.get(f"/v1/jobs?kind=tests.obey&{query}", headers=user.headers)
        assert answer.status_code == 200, answer.text
        return [job["id"] for job in answer.json()["data"]]

    assert await ids("status=succeeded") == [str(first)]
    assert await ids("status=queued") == [str(second)]
    assert await ids("status=cancelling") == []
    assert await ids(f"resource_id={resource.id}") == [str(first)]
    assert await ids("sort=created_at") == [str(first), str(second)]
    counted = await client.get("/v1/jobs?kind=tests.obey&include_total=true&limit=1", headers=user.headers)
    assert counted.json()["total"] == 2


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0", 422),
        ("limit=101", 422),
        ("limit=" + "9" * 30, 422),
        ("limit=5&limit=6", 422),
        ("status=queued&limit=5&status=failed", 422),
        ("sort=payload", 422),
        ("sort=lease_token", 422),
        ("status=unknown", 422),
        ("cursor=xxx", 400),
        ("cursor=WyItY3JlYXRlZF9hdCIsIngiLCJ5Il0", 400),
        ("cursor=" + "A" * 2000, 422),
        ("kind=%00", 400),
        ("kind=%ff", 400),
    ],
)
async def test_a_bad_query_is_refused(query: str, status: int, client, user) -> None:
    answer = await client.get(f"/v1/jobs?{query}", headers=user.headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_cursor_is_good_for_its_sort_only(client, user, enqueue: Enqueue) -> None:
    await enqueue()
    await enqueue()
    page = (await client.get("/v1/jobs?limit=1", headers=user.headers)).json()
    other_sort = await client.get(f"/v1/jobs?sort=run_at&cursor={page['next_cursor']}", headers=user.headers)
    assert other_sort.json()["code"] == "pagination.bad_cursor"


async def test_a_waiting_job_is_cancelled_and_started_again(client, user, enqueue: Enqueue, runner) -> None:
    job_id = await enqueue()
    cancelled = await client.post(f"/v1/jobs/{job_id}/cancel", headers=user.headers)
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    assert cancelled.headers["Location"] == f"/v1/jobs/{job_id}"
    again = await client.post(f"/v1/jobs/{job_id}/cancel", headers=user.headers)
    assert (again.status_code, again.json()["code"]) == (409, "jobs.is_over")
    retried = await client.post(f"/v1/jobs/{job_id}/retry", headers=user.headers)
    assert (retried.status_code, retried.json()["status"]) == (202, "queued")
    refused = await client.post(f"/v1/jobs/{job_id}/retry", headers=user.headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "jobs.not_retryable")
    await run_once(runner, job_id)


async def test_a_job_whose_duplicate_lives_is_not_started_again(client, user, enqueue: Enqueue) -> None:
    key = str(new_id())
    job_id = await enqueue(unique_key=key)
    await client.post(f"/v1/jobs/{job_id}/cancel", headers=user.headers)
    await enqueue(unique_key=key)
    refused = await client.post(f"/v1/jobs/{job_id}/retry", headers=user.headers)
    assert refused.json()["code"] == "jobs.not_retryable"


async def test_a_job_is_followed_to_its_end(client, user, enqueue: Enqueue, runner) -> None:
    GATES[10] = asyncio.Event()
    job_id = await enqueue("step", number=10)
    running = asyncio.create_task(run_once(runner, job_id))
    asyncio.get_running_loop().call_later(1.0, GATES[10].set)
    answer = await client.get(f"/v1/jobs/{job_id}/events", headers=user.headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [block for block in answer.text.split("\n\n") if block.startswith("event:") or "data:" in block]
    bodies = [
        json.loads(line.removeprefix("data:"))
        for block in events
        for line in block.splitlines()
        if line.startswith("data:")
    ]
    assert bodies[-1]["status"] == "succeeded"
    assert any(body["progress"]["message"] == "one of three" for body in bodies[:-1])
    ids = [int(line[3:]) for line in answer.text.splitlines() if line.startswith("id:")]
    assert ids == sorted(set(ids))
    await running

    replayed = await client.get(
        f"/v1/jobs/{job_id}/events", headers=user.headers | {"Last-Event-ID": str(ids[0])}
    )
    assert [line for line in replayed.text.splitlines() if line.startswith("id:")] == [f"id: {ids[-1]}"]
    seen = await client.get(
        f"/v1/jobs/{job_id}/events", headers=user.headers | {"Last-Event-ID": str(ids[-1])}
    )
    assert "data:" not in seen.text


async def test_a_stream_ends_with_the_session_of_who_reads_it(client, people, user, enqueue: Enqueue) -> None:
    job_id = await enqueue("step", number=11)
    elsewhere = await people.sign_in(user.email, user.password)
    following = {
        person: asyncio.create_task(client.get(f"/v1/jobs/{job_id}/events", headers=person.headers))
        for person in (user, elsewhere)
    }
    await asyncio.sleep(0.2)
    assert (await client.post("/v1/auth/logout", headers=elsewhere.headers)).status_code == 204
    ended = await asyncio.wait_for(following[elsewhere], 10)
    assert ended.text.count("data:") == 1
    assert not following[user].done()
    await client.post(f"/v1/jobs/{job_id}/cancel", headers=user.headers)
    assert '"cancelled"' in (await asyncio.wait_for(following[user], 10)).text


async def test_a_bad_last_event_id_is_refused(client, user, enqueue: Enqueue) -> None:
    job_id = await enqueue()
    answer = await client.get(
        f"/v1/jobs/{job_id}/events", headers=user.headers | {"Last-Event-ID": "the last one"}
    )
    assert answer.status_code == 422
