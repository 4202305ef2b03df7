"""Registration does not reveal which addresses have accounts, and registering another's address gains nothing."""

from datetime import UTC, datetime, timedelta

import pytest

from domains.auth.job_types import ANSWER_REGISTRATION
from tools.faults.people import PASSWORD, some_email

OTHER_PASSWORD = "another long enough password"


async def _register(client, email, password=PASSWORD, **more):
    return await client.post("/v1/auth/register", json={"email": email, "password": password, **more})


async def test_a_person_registers_verifies_and_signs_in(client, inbox, sign_in):
    email = some_email()
    answer = await _register(client, email, name="Ada", locale="en")
    assert answer.status_code == 202

    mail = await inbox.last(email)
    assert "Confirm your address" in mail.subject
    assert mail.token in mail.html
    verified = await client.post("/v1/auth/email/verify", json={"token": mail.token})
    assert verified.status_code == 204

    tokens = (await sign_in(email, PASSWORD)).json()
    me = await client.get("/v1/users/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert me.json()["email_verified"] is True
    assert me.json()["name"] == "Ada"


async def test_a_taken_address_gets_the_same_answer_and_its_owner_a_notice(client, inbox, user):
    token = (await inbox.last(user.email)).token
    await client.post("/v1/auth/email/verify", json={"token": token})

    taken = await _register(client, user.email.upper(), OTHER_PASSWORD)
    fresh = await _register(client, some_email())

    assert (taken.status_code, taken.content) == (fresh.status_code, fresh.content)
    notice = await inbox.last(user.email)
    assert notice.subject == "You have an account already"
    assert "token=" not in notice.text


async def test_the_password_of_a_registration_counts_only_after_its_own_link(client, inbox, sign_in):
    email = some_email()
    await _register(client, email, "the password of a stranger", name="Mallory")
    stranger = await sign_in(email, "the password of a stranger")
    assert stranger.status_code == 200
    await inbox.of(email)
    await _register(client, email, PASSWORD, name="Ada")
    own = await inbox.last(email)

    assert (await sign_in(email, PASSWORD)).status_code == 400
    await client.post("/v1/auth/email/verify", json={"token": own.token})

    assert (await sign_in(email, "the password of a stranger")).status_code == 400
    tokens = (await sign_in(email, PASSWORD)).json()
    me = await client.get("/v1/users/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert me.json()["name"] == "Ada"
    hijacked = {"Authorization": f"Bearer {stranger.json()['access_token']}"}
    assert (await client.get("/v1/users/me", headers=hijacked)).status_code == 401


async def test_verifying_voids_the_links_of_other_registrations(client, inbox):
    email = some_email()
    await _register(client, email, OTHER_PASSWORD)
    first = await inbox.last(email)
    await _register(client, email, PASSWORD)
    second = await inbox.last(email)

    assert (await client.post("/v1/auth/email/verify", json={"token": second.token})).status_code == 204
    answer = await client.post("/v1/auth/email/verify", json={"token": first.token})
    assert (answer.status_code, answer.json()["code"]) == (400, "auth.invalid_token")


async def test_verifying_twice_keeps_a_password_that_was_changed_meanwhile(client, inbox, user, sign_in):
    mail = await inbox.last(user.email)
    change = {"current_password": user.password, "new_password": OTHER_PASSWORD}
    changed = await client.post("/v1/auth/password/change", json=change, headers=user.headers)
    assert changed.status_code == 204

    assert (await client.post("/v1/auth/email/verify", json={"token": mail.token})).status_code == 204
    assert (await sign_in(user.email, OTHER_PASSWORD)).status_code == 200


async def test_a_verification_token_expires(client, inbox, user, later):
    mail = await inbox.last(user.email)
    later(hours=25)
    answer = await client.post("/v1/auth/email/verify", json={"token": mail.token})
    assert (answer.status_code, answer.json()["code"]) == (400, "auth.invalid_token")


@pytest.mark.parametrize("token", ["x", "A" * 43, "ä" * 20, "' OR 1=1 --"])
async def test_a_token_that_was_never_made_is_refused(client, token):
    answer = await client.post("/v1/auth/email/verify", json={"token": token})
    assert (answer.status_code, answer.json()["code"]) == (400, "auth.invalid_token")
    assert token not in answer.text


async def test_the_verification_mail_is_sent_again_on_request(client, inbox, user):
    first = await inbox.last(user.email)
    answer = await client.post("/v1/auth/email/verify/resend", json={"email": user.email})
    unknown = await client.post("/v1/auth/email/verify/resend", json={"email": some_email()})
    assert (
        (answer.status_code, answer.content)
        == (unknown.status_code, unknown.content)
        == (202, answer.content)
    )

    again = await inbox.last(user.email)
    assert again.token != first.token
    assert (await client.post("/v1/auth/email/verify", json={"token": again.token})).status_code == 204
    before = await inbox.of(user.email)
    await client.post("/v1/auth/email/verify/resend", json={"email": user.email})
    assert await inbox.of(user.email) == before


@pytest.mark.parametrize("first", [OTHER_PASSWORD, PASSWORD])
async def test_sent_again_no_link_lets_in_whose_registration_it_may_not_have_been(
    first, client, inbox, sign_in, rows
):
    email = some_email()
    for password in (first, PASSWORD if first is OTHER_PASSWORD else OTHER_PASSWORD):
        await _register(client, email, password)
        await inbox.last(email)
    await client.post("/v1/auth/email/verify/resend", json={"email": email})
    mail = await inbox.last(email)
    assert mail.subject == "Choose a new password"
    assert (await client.post("/v1/auth/email/verify", json={"token": mail.token})).status_code == 400
    chosen = "a third password of my own"
    reset = {"token": mail.token, "password": chosen}
    assert (await client.post("/v1/auth/password/reset", json=reset)).status_code == 204
    verified = (
        "SELECT event FROM auth.security_events JOIN users.users ON users.id = user_id WHERE email = $1"
    )
    assert {"email_verified", "password_reset"} <= {row["event"] for row in await rows(verified, email)}
    for password, status in ((PASSWORD, 400), (OTHER_PASSWORD, 400), (chosen, 200)):
        assert (await sign_in(email, password)).status_code == status


async def test_whose_registration_was_forgotten_chooses_a_password_too(client, inbox, composition):
    email = some_email()
    await _register(client, email, PASSWORD)
    await inbox.last(email)
    long_ago = datetime.now(UTC) + timedelta(days=1)
    await composition.auth.account_repository().sweep_registrations(long_ago)
    await _register(client, email, OTHER_PASSWORD)
    await inbox.last(email)
    await client.post("/v1/auth/email/verify/resend", json={"email": email})
    assert (await inbox.last(email)).subject == "Choose a new password"


async def test_the_sixth_registration_of_an_address_within_an_hour_waits(client, later):
    email = some_email()
    for _ in range(5):
        assert (await _register(client, email)).status_code == 202
    answer = await _register(client, email)
    assert (answer.status_code, answer.json()["code"]) == (429, "auth.too_many_attempts")
    assert 0 < int(answer.headers["Retry-After"]) <= 3600
    later(minutes=61)
    assert (await _register(client, email)).status_code == 202


@pytest.mark.parametrize(
    "password",
    ["seven77", "password1", "PASSWORD1", "x" * 257, "1234567890"],
)
async def test_a_password_that_is_short_long_or_common_is_refused(client, password):
    answer = await _register(client, some_email(), password)
    assert answer.status_code == 422
    assert password not in answer.text


async def test_the_address_is_no_password(client):
    email = some_email()
    for password in (email, email.upper(), email.partition("@")[0]):
        answer = await _register(client, email, password)
        assert (answer.status_code, answer.json()["code"]) == (422, "auth.password_refused")


async def test_a_password_of_a_megabyte_is_refused_without_a_hash(client, composition, monkeypatch):
    calls = _counted(composition.auth.hasher(), "hash", monkeypatch)
    answer = await _register(client, some_email(), "x" * 1_000_000)
    assert answer.status_code == 422
    assert calls == []


@pytest.mark.parametrize(
    "password",
    [
        "x" * 63 + "y",
        "pässwörter mit leerzeichen 🔑",
        "a" * 127 + "b",
        " leading and trailing ",
        "z" * 255 + "b",
    ],
)
async def test_long_and_unusual_passwords_count_to_the_last_character(client, sign_in, password):
    email = some_email()
    assert (await _register(client, email, password)).status_code == 202
    assert (await sign_in(email, password[:-1] + "#")).status_code == 400
    assert (await sign_in(email, password)).status_code == 200


async def test_a_password_is_the_same_however_its_accents_are_composed(client, sign_in):
    email = some_email()
    await _register(client, email, "cafe\u0301 cafe\u0301")
    assert (await sign_in(email, "caf\u00e9 caf\u00e9")).status_code == 200


@pytest.mark.parametrize(
    "email",
    [
        "",
        "nobody",
        "a@b",
        "a@b, c@d",
        "Ada <a@example.com>",
        "a@example.com\r\nBcc: b@example.com",
        "ü@example.com",
        "=?utf-8?q?victim?=@example.com",
        "=?utf-8?q?c=40evil.example=2C?=@example.com",
        f"{'a' * 64}@{'b' * 60}.{'c' * 60}.{'d' * 60}.example.com",
    ],
)
async def test_what_is_no_single_address_is_refused(client, email):
    answer = await _register(client, email)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/email"


@pytest.mark.parametrize("body", [{"role": "admin"}, {"name": "a\r\nb"}, {"name": " "}, {"locale": "../etc"}])
async def test_unknown_and_unclean_fields_are_refused(client, body):
    answer = await _register(client, some_email(), **body)
    assert answer.status_code == 422


async def test_links_lead_to_the_configured_host_whatever_the_request_says(client, inbox, settings):
    email = some_email()
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    body = {"email": email, "password": PASSWORD}
    await client.post("/v1/auth/register", json=body, headers=headers)
    mail = await inbox.last(email)
    assert mail.link.startswith(f"{settings.links_url}/verify-email?token=")
    assert "evil" not in mail.text + mail.html


async def test_only_hashes_of_passwords_and_tokens_are_stored(client, inbox, user, rows):
    mail = await inbox.last(user.email)
    (account,) = await rows("SELECT password_hash FROM auth.accounts WHERE user_id = $1", user.id)
    assert account["password_hash"].startswith("$argon2id$v=19$m=")
    (token,) = await rows("SELECT token_hash FROM auth.one_time_tokens WHERE user_id = $1", user.id)
    assert len(token["token_hash"]) == 32
    jobs = await rows("SELECT payload::text FROM jobs.jobs WHERE kind = $1", ANSWER_REGISTRATION.kind)
    assert all(mail.token not in job["payload"] and user.email not in job["payload"] for job in jobs)


async def test_a_name_is_not_put_into_mails_before_its_owner_is_known(client, inbox):
    email = some_email()
    await _register(client, email, name="Win a prize at evil.example")
    mail = await inbox.last(email)
    assert "prize" not in mail.text + mail.html + mail.subject


def _counted(hasher, name, monkeypatch):
    calls, original = [], getattr(hasher, name)

    async def counted(*arguments):
        calls.append(arguments)
        return await original(*arguments)

    monkeypatch.setattr(hasher, name, counted)
    return calls


@pytest.mark.parametrize(
    "password",
    [
        "e\u0301" * 4 + "xyz",
        "\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff44\uff11\uff12\uff13",
        "\u00e9" * 257,
    ],
    ids=["seven when composed", "common in full width", "too long"],
)
async def test_a_password_is_measured_and_looked_up_as_it_is_composed(client, password):
    answer = await _register(client, some_email(), password)
    assert (answer.status_code, answer.json()["code"].partition(".")[0]) in {(422, "request"), (422, "auth")}


async def test_a_long_password_is_the_same_in_every_form(client, sign_in):
    email, password = some_email(), "\u00e9" * 256
    assert (await _register(client, email, "e\u0301" * 256)).status_code == 202
    for form in (password, "e\u0301" * 256, "e\u0301" * 100 + "\u00e9" * 156):
        assert (await sign_in(email, form)).status_code == 200
    assert (await sign_in(email, "e\u0301" * 255 + "e")).status_code == 400


@pytest.mark.parametrize("email", ["用户@例え.jp", "änn@example.com", "ann\u0301@example.com"])
async def test_an_address_with_letters_outside_ascii_before_the_at_says_what_to_do(client, email):
    answer = await _register(client, email, PASSWORD)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == "#/email"
    assert "before the @" in error["detail"]
    assert "ASCII" in error["detail"]


async def test_an_address_of_an_international_domain_is_one_in_every_form(client, sign_in):
    name = some_email().partition("@")[0]
    assert (await _register(client, f"{name}@BÜCHER.example.com", PASSWORD)).status_code == 202
    for domain in (
        "bücher.example.com",
        "bu\u0308cher.example.com",
        "xn--bcher-kva.example.com",
        "BÜCHER.Example.COM",
    ):
        assert (await sign_in(f"{name.upper()}@{domain}", PASSWORD)).status_code == 200
