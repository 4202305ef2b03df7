"""Actions that generated parcels must refuse; copied beside the generated tests."""

from uuid import UUID

import pytest
from domains.parcels.models import Parcel
from domains.parcels.repository import ParcelRepository
from domains.parcels.schemas import ParcelFilter
from sqlalchemy import or_
from sqlmodel import col
from tests.domains.parcels.factories import create_parcel, parcel_body

from shared.db.pagination import PageRequest
from shared.db.single_table import TableStatements

URL = "/v1/parcels"


@pytest.mark.parametrize("name", ["owner_id", "id", "revision", "created_at", "updated_at"])
async def test_nothing_is_planted_as_anothers(client, people, user, other, name):
    body = await parcel_body(people, user)
    for planted in (str(other.id), 7, "2026-01-01T00:00:00Z"):
        answer = await client.post(URL, json=body | {name: planted}, headers=user.headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "request.invalid_input")
    created = await create_parcel(
        people, user, owner=str(other.id), row_id=str(other.id), recipient_id=str(other.id)
    )
    changed = {"owner": str(other.id), "recipient_id": str(other.id)}
    answer = await client.patch(f"{URL}/{created['id']}", json=changed, headers=user.headers)
    assert answer.status_code == 200
    assert (await client.get(URL, headers=other.headers)).json()["data"] == []
    assert len((await client.get(URL, headers=user.headers)).json()["data"]) == 1


async def test_a_filter_finds_what_it_says_and_never_anothers(client, people, user, other):
    created = await create_parcel(people, user)
    for name in set(await parcel_body(people, user)) - {"recipient_id"}:
        for value, found in ((created[name], [created]), (str(other.id), []), (str(user.id), []), ("1", [])):
            params = {name: value, "include_total": "true", "sort": "created_at"}
            answer = await client.get(URL, params=params, headers=user.headers)
            assert (answer.status_code, answer.json().get("data")) == (200, found), (name, value)
            answer = await client.get(URL, params=params, headers=other.headers)
            assert (answer.status_code, answer.json().get("data")) == (200, [])


async def test_lists_are_read_page_by_page_under_a_filter(client, people, user):
    for _ in range(3):
        await create_parcel(people, user, page_limit="same", page_key="same")
    params = {"page_limit": "same", "page_key": "same", "limit": 2}
    first = (await client.get(URL, params=params, headers=user.headers)).json()
    second = (
        await client.get(URL, params=params | {"cursor": first["next_cursor"]}, headers=user.headers)
    ).json()
    assert (len(first["data"]), len(second["data"])) == (2, 1)


async def test_what_is_shared_with_me_outlives_me_and_what_is_hidden_does_not(
    client, people, user, other, composition, monkeypatch
):
    mine, hidden = await create_parcel(people, user), await create_parcel(people, user, type="hidden")
    shared = await create_parcel(people, other, type="shared")
    own = ParcelRepository.statements
    readable = or_(own.of_owner, col(Parcel.type) == "shared") & (col(Parcel.type) != "hidden")
    widened = TableStatements(
        Parcel, own.body, missing=own.missing, sorts=own.sorts, filters=own.filters, readable=readable
    )
    monkeypatch.setattr(ParcelRepository, "statements", widened)

    async def seen(person):
        found = (await client.get(URL, headers=person.headers)).json()["data"]
        return {parcel["id"] for parcel in found}

    assert await seen(user) == {mine["id"], shared["id"]}
    for method in ("PATCH", "DELETE"):
        body = {} if method == "PATCH" else None
        answer = await client.request(method, f"{URL}/{shared['id']}", json=body, headers=user.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "parcels.not_found")
    await composition.parcels.personal_data().purge(user.id)
    monkeypatch.setattr(ParcelRepository, "statements", own)
    assert (await seen(user), await seen(other)) == (set(), {shared["id"]})
    page = await composition.parcels.repository().page(user.id, PageRequest(), ParcelFilter())
    assert page.data == []
    assert UUID(hidden["id"])
