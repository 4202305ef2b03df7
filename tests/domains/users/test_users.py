"""Users over HTTP: the caller's own user, and all users for administrators."""

from uuid import uuid4

import asyncpg
import pytest

from tools.faults.people import PASSWORD, some_email


async def test_people_read_themselves(client, user):
    answer = await client.get("/v1/users/me", headers=user.headers)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["id"], body["email"], body["email_verified"]) == (str(user.id), user.email, False)
    assert body.keys() == {
        "id",
        "email",
        "email_verified",
        "email_verified_at",
        "name",
        "locale",
        "created_at",
        "updated_at",
    }


async def test_people_change_what_they_send_and_nothing_else(client, user):
    async def change(**fields):
        answer = await client.patch("/v1/users/me", json=fields, headers=user.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    await change(name="  Ada Lovelace ", locale="en")
    body = await change(locale="de-AT")
    assert (body["name"], body["locale"]) == ("Ada Lovelace", "de-AT")
    body = await change(name=None)
    assert (body["name"], body["locale"]) == (None, "de-AT")
    assert (await client.get("/v1/users/me", headers=user.headers)).json() == body


@pytest.mark.parametrize(
    "body",
    [
        {"role": "admin"},
        {"owner_id": str(uuid4())},
        {"email": "new@example.com"},
        {"email_verified": True},
        {"name": ""},
        {"name": "a\u202eb"},
        {"name": "a\nb"},
        {"name": "x" * 101},
        {"name": 1},
        {"locale": "english language"},
    ],
)
async def test_what_people_may_not_change_is_refused(client, user, body):
    before = (await client.get("/v1/users/me", headers=user.headers)).json()
    answer = await client.patch("/v1/users/me", json=body, headers=user.headers)
    assert answer.status_code == 422
    assert (await client.get("/v1/users/me", headers=user.headers)).json() == before


async def test_names_of_all_scripts_are_welcome(client, user):
    for name in ("José", "Nguyễn Thị Minh Khai", "王小明", "می‌خواهم", "O'Brien-Smith", "👩‍💻"):
        answer = await client.patch("/v1/users/me", json={"name": name}, headers=user.headers)
        assert answer.status_code == 200
        assert answer.json()["name"] == name


async def test_administrators_find_a_name_that_was_stored_decomposed(client, admin, user, servers):
    owner = await asyncpg.connect(servers.environment["TULOU_DATABASE_OWNER_URL"])
    try:
        await owner.execute("UPDATE users.users SET name = $2 WHERE id = $1", user.id, "Zoe\u0308 Decomposed")
    finally:
        await owner.close()
    for spelling in ("zo\u00eb decomp", "zoe\u0308 decomp"):
        answer = await client.get("/v1/users", params={"q": spelling}, headers=admin.headers)
        assert [row["id"] for row in answer.json()["data"]] == [str(user.id)]


async def test_administrators_find_people(client, admin, user):
    await client.patch("/v1/users/me", json={"name": "Zz_50% Rare Name"}, headers=user.headers)

    async def found(**query):
        answer = await client.get("/v1/users", params=query, headers=admin.headers)
        assert answer.status_code == 200, answer.text
        return [row["id"] for row in answer.json()["data"]]

    assert await found(email=user.email.upper()) == [str(user.id)]
    assert await found(q=user.email[:15].upper()) == [str(user.id)]
    assert await found(q="_50% rare", verified="false") == [str(user.id)]
    assert await found(q="_50% rare", verified="true") == []
    assert await found(email="no address") == []
    assert str(admin.id) in await found(verified="true", sort="-created_at")


@pytest.mark.parametrize("sort", ["email", "-email", "created_at", "-created_at"])
async def test_the_list_is_whole_in_every_order(client, admin, composition, sort):
    mark, made = uuid4().hex, set()
    for number in range(3):
        email = f"{mark}-{number}@example.com"
        await client.post("/v1/auth/register", json={"email": email, "password": PASSWORD})
        made.add(email)
    query = {"q": mark, "limit": 2, "sort": sort, "include_total": "true"}
    first = (await client.get("/v1/users", params=query, headers=admin.headers)).json()
    query["cursor"] = first["next_cursor"]
    second = (await client.get("/v1/users", params=query, headers=admin.headers)).json()
    emails = [row["email"] for row in first["data"] + second["data"]]
    assert first["total"] == 3
    assert set(emails) == made
    assert emails == sorted(emails, reverse=sort.startswith("-"))
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    "query", ["sort=password_hash", "sort=id", "limit=0", "limit=101", "verified=perhaps", "q="]
)
async def test_a_list_can_not_be_asked_for_what_it_does_not_show(client, admin, query):
    assert (await client.get(f"/v1/users?{query}", headers=admin.headers)).status_code == 422


async def test_a_cursor_made_up_is_refused(client, admin):
    answer = await client.get("/v1/users?cursor=AAAA", headers=admin.headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "pagination.bad_cursor")


async def test_administrators_read_anybody(client, admin, user):
    answer = await client.get(f"/v1/users/{user.id}", headers=admin.headers)
    assert answer.json()["email"] == user.email
    missing = await client.get(f"/v1/users/{uuid4()}", headers=admin.headers)
    assert (missing.status_code, missing.json()["code"]) == (404, "users.not_found")


@pytest.mark.parametrize("path", ["/v1/users", "/v1/users/{id}"])
async def test_nobody_else_does(client, user, path):
    address = path.format(id=user.id)
    answer = await client.get(address, headers=user.headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "auth.missing_scope")
    assert (await client.get(address)).status_code == 401


async def test_the_address_is_shown_as_it_was_given_and_found_in_any_spelling(client, people):
    local, _, _ = some_email().partition("@")
    person = await people.register(email=f"{local.upper()}@EXAMPLE.com")
    me = (await client.get("/v1/users/me", headers=person.headers)).json()
    assert me["email"] == f"{local.upper()}@example.com"
    again = await people.sign_in(f"{local}@example.COM")
    assert again.id == person.id


@pytest.mark.parametrize(
    ("given", "kept"),
    [("ar-eg-U-nu-Latn", "ar-EG-u-nu-latn"), ("zh-hant-tw", "zh-Hant-TW"), ("de-x-Du", "de-x-du")],
)
async def test_a_language_may_have_extensions_and_gets_its_canonical_case(client, user, given, kept):
    answer = await client.patch("/v1/users/me", json={"locale": given}, headers=user.headers)
    assert (answer.status_code, answer.json()["locale"]) == (200, kept)


@pytest.mark.parametrize("locale", ["en_US", "en-u", "e", "x", "de-1901-1901", "en-" + "abcdefgh-" * 12])
async def test_what_is_no_language_is_refused(client, user, locale):
    answer = await client.patch("/v1/users/me", json={"locale": locale}, headers=user.headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "request.invalid_input")
    (error,) = answer.json()["errors"]
    assert len(error["detail"]) < 80
    assert "$" not in error["detail"]


@pytest.mark.parametrize(
    "name",
    [
        "\u200d\u200c",
        "\u3000",
        "\u0301",
        "\u3164",
        "a\u2066b",
        "a\u200eb",
        "a\x00",
        "a\ufdd0",
        "a\ufeffb",
        "\ufb2c" * 40,
    ],
    ids=ascii,
)
async def test_a_name_that_is_blank_or_steers_is_refused(client, user, name):
    answer = await client.patch("/v1/users/me", json={"name": name}, headers=user.headers)
    assert answer.status_code in {400, 422}


async def test_administrators_find_a_name_in_whatever_form_they_type_it(client, user, admin):
    name = f"Zo\u00eb \uac00\ub098 {user.id}"
    await client.patch("/v1/users/me", json={"name": name}, headers=user.headers)
    for typed in (f"zo\u00eb \uac00\ub098 {user.id}", f"Zoe\u0308 \u1100\u1161\u1102\u1161 {user.id}"):
        found = (await client.get("/v1/users", params={"q": typed}, headers=admin.headers)).json()["data"]
        assert [each["id"] for each in found] == [str(user.id)]
