"""ETags and preconditions (RFC 9110, sections 8.8.3 and 13.1)."""

import asyncio
import re
from pathlib import Path

import pytest

from shared.errors import CATALOGUE

ME = "/v1/users/me"
PHOTO = (Path(__file__).parents[1] / "data/astronaut.jpg").read_bytes()
STRONG = re.compile(r'"\d+-[0-9a-f]{16}(-gzip)?"')


@pytest.fixture
async def file(client, user) -> str:
    answer = await client.post("/v1/files", content=b"some words", headers=user.headers)
    assert answer.status_code == 201
    return f"/v1/files/{answer.json()['id']}"


async def tag_of(client, user, path: str) -> str:
    answer = await client.get(path, headers=user.headers)
    assert STRONG.fullmatch(answer.headers["ETag"])
    return answer.headers["ETag"]


async def test_who_has_the_present_state_is_told_so(client, user) -> None:
    tag = await tag_of(client, user, ME)
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*", f'"a,b" ,, {tag},'):
        answer = await client.get(ME, headers={**user.headers, "If-None-Match": known})
        assert answer.status_code == 304, known
        assert answer.content == b""
        assert answer.headers["ETag"] == tag


@pytest.mark.parametrize("known", ['"other"', '"1-0000000000000000"', ""])
async def test_who_has_another_state_gets_the_present_one(client, user, known: str) -> None:
    answer = await client.get(ME, headers={**user.headers, "If-None-Match": known})
    assert answer.status_code == 200


async def test_each_change_gives_another_etag_and_tells_it(client, user) -> None:
    before = await tag_of(client, user, ME)
    changed = await client.patch(ME, json={"name": "Ada"}, headers=user.headers)
    assert changed.headers["ETag"] != before
    assert changed.headers["ETag"] == await tag_of(client, user, ME)
    assert "revision" not in changed.json()


async def test_a_change_of_the_state_that_was_read_is_made(client, user) -> None:
    tag = await tag_of(client, user, ME)
    headers = {**user.headers, "If-Match": f'"other", {tag}'}
    answer = await client.patch(ME, json={"name": "Ada"}, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize("condition", ['"other"', '"7-0123456789abcdef"', 'W/{tag}, "x"', ""])
async def test_a_change_of_another_state_is_refused(client, user, condition: str) -> None:
    tag = await tag_of(client, user, ME)
    headers = {**user.headers, "If-Match": condition.format(tag=tag)}
    answer = await client.patch(ME, json={"name": "Ada"}, headers=headers)
    assert answer.status_code == 412
    assert answer.json()["code"] == "request.precondition_failed"
    assert await tag_of(client, user, ME) == tag


async def test_any_state_will_do(client, user) -> None:
    answer = await client.patch(ME, json={"name": "Ada"}, headers={**user.headers, "If-Match": "*"})
    assert answer.status_code == 200


@pytest.mark.parametrize("condition", ["1-0123456789abcdef", '"open', '"a" "b"', 'w/"a"', "*, *"])
async def test_what_is_no_list_of_tags_is_refused(client, user, condition: str) -> None:
    for method, name in (("GET", "If-None-Match"), ("PATCH", "If-Match")):
        headers = {**user.headers, name: condition}
        answer = await client.request(
            method, ME, json={"name": "Ada"} if method == "PATCH" else None, headers=headers
        )
        assert answer.status_code == 400
        assert answer.json()["code"] == "request.malformed_condition"


async def test_of_two_changes_of_one_state_exactly_one_is_made(client, user) -> None:
    for number in range(5):
        tag = await tag_of(client, user, ME)
        headers = {**user.headers, "If-Match": tag}
        # New names each time: a change to the present name leaves the state as it is, so both would be made.
        names = (f"Ada {number}", f"Grace {number}")
        answers = await asyncio.gather(
            *(client.patch(ME, json={"name": name}, headers=headers) for name in names)
        )
        assert sorted(answer.status_code for answer in answers) == [200, 412]
        winner = next(answer for answer in answers if answer.status_code == 200)
        assert (await client.get(ME, headers=user.headers)).json() == winner.json()


async def test_a_file_is_changed_and_deleted_in_the_state_that_was_read(client, user, file) -> None:
    read = await tag_of(client, user, file)
    changed = await client.patch(file, json={"name": "b.txt"}, headers={**user.headers, "If-Match": read})
    assert changed.status_code == 200
    stale = await client.delete(file, headers={**user.headers, "If-Match": read})
    assert stale.status_code == 412
    assert (await client.get(file, headers=user.headers)).json()["deleted_at"] is None
    headers = {**user.headers, "If-Match": changed.headers["ETag"]}
    assert (await client.delete(file, headers=headers)).status_code == 204


async def test_work_that_goes_on_changes_what_is_shown_but_not_what_may_be_changed(
    client, user, work_off
) -> None:
    made = await client.post("/v1/files", content=PHOTO, headers=user.headers)
    path = made.headers["Location"]
    before = await tag_of(client, user, path)
    await work_off()
    headers = {**user.headers, "If-None-Match": before}
    assert (await client.get(path, headers=headers)).status_code == 200


async def test_a_job_is_cancelled_in_the_state_that_was_read(client, user) -> None:
    made = await client.post("/v1/files", content=PHOTO, headers=user.headers)
    path = made.json()["jobs"][0]["url"]
    tag = await tag_of(client, user, path)
    stale = await client.post(f"{path}/cancel", headers={**user.headers, "If-Match": '"99-0123456789abcdef"'})
    assert stale.status_code == 412
    assert await tag_of(client, user, path) == tag
    answer = await client.post(f"{path}/cancel", headers={**user.headers, "If-Match": tag})
    assert answer.status_code == 202
    assert answer.headers["ETag"] == await tag_of(client, user, path)


async def test_a_condition_on_what_has_no_state_never_holds(client, people, user) -> None:
    twin = await people.sign_in(user.email)
    headers = {**user.headers, "If-Match": '"1-0123456789abcdef"'}
    answer = await client.delete(f"/v1/auth/sessions/{twin.session_id}", headers=headers)
    assert answer.status_code == 412
    assert (await client.get(ME, headers=twin.headers)).status_code == 200


async def test_what_must_not_be_there_is_not_changed(client, user) -> None:
    tag = await tag_of(client, user, ME)
    for condition in ("*", tag):
        headers = {**user.headers, "If-None-Match": condition}
        assert (await client.patch(ME, json={"name": "Ada"}, headers=headers)).status_code == 412
    headers = {**user.headers, "If-None-Match": '"other"'}
    assert (await client.patch(ME, json={"name": "Ada"}, headers=headers)).status_code == 200


async def test_an_account_is_deleted_in_the_state_that_was_read(client, user) -> None:
    stale = await tag_of(client, user, ME)
    await client.patch(ME, json={"name": "Ada"}, headers=user.headers)
    for tag, status in ((stale, 412), (await tag_of(client, user, ME), 204)):
        headers = {**user.headers, "If-Match": tag}
        answer = await client.request("DELETE", ME, json={"password": user.password}, headers=headers)
        assert answer.status_code == status


async def test_who_may_not_come_in_learns_nothing_of_states(client, user, other, file) -> None:
    tag = await tag_of(client, user, file)
    for condition in ("*", tag, '"x"'):
        headers = {**other.headers, "If-Match": condition}
        assert (await client.patch(file, json={"name": "b"}, headers=headers)).status_code == 404


async def test_the_document_tells_of_states_wherever_there_is_one(client) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    for path in (ME, "/v1/files/{file_id}", "/v1/jobs/{job_id}", "/v1/emails/{email_id}"):
        read = paths[path]["get"]
        assert "ETag" in read["responses"]["200"]["headers"]
        assert "304" in read["responses"]
        names = [parameter["name"] for parameter in read["parameters"]]
        assert {"If-None-Match", "If-Match"} <= set(names)
    for path, method in (
        (ME, "patch"),
        ("/v1/files/{file_id}", "delete"),
        ("/v1/jobs/{job_id}/cancel", "post"),
    ):
        assert "request.precondition_failed" in paths[path][method]["responses"]["412"]["description"]
    assert "If-Match" not in str(paths["/v1/files"]["get"])
    assert "revision" not in str(
        (await client.get("/openapi.json")).json()["components"]["schemas"]["FileBody"]
    )


def test_both_refusals_are_in_the_catalogue() -> None:
    assert {"request.precondition_failed", "request.malformed_condition"} <= CATALOGUE.keys()
