"""Content that was stored before an address was verified does not stay with the address's owner."""

from tools.faults.people import PASSWORD, some_email

STRANGER = "the password of a stranger"
OWN = "a password of the true owner"


async def _plant(client, people, inbox, email):
    """Register another's address, sign in, and store what a person can store."""
    stranger = await people.register(email=email, password=STRANGER)
    change = {"name": "Win a prize at evil.example", "locale": "de"}
    assert (await client.patch("/v1/users/me", json=change, headers=stranger.headers)).status_code == 200
    planted = {"file": ("contract.txt", b"signed by you", "text/plain")}
    headers = {**stranger.headers, "Idempotency-Key": "planted"}
    uploaded = await client.post("/v1/files", files=planted, headers=headers)
    assert uploaded.status_code == 201
    await inbox.of(email)
    return stranger


async def _everything_of(rows, user_id):
    """Return the tables, of all domains, that hold a row of this user; but for the audit log."""
    columns = await rows(
        "SELECT table_schema, table_name, column_name FROM information_schema.columns"
        " WHERE column_name IN ('owner_id', 'user_id') OR (table_schema, column_name) = ('users', 'id')"
    )
    found = set()
    for schema, table, column in map(tuple, columns):
        if table != "security_events" and await rows(
            f'SELECT 1 FROM "{schema}"."{table}" WHERE "{column}" = $1', user_id
        ):
            found.add(f"{schema}.{table}")
    return found


async def _assert_owned_by_nobody_else(client, people, rows, email, password, stranger, *, name):
    owner = await people.sign_in(email, password)
    me = (await client.get("/v1/users/me", headers=owner.headers)).json()
    assert (me["name"], me["locale"], me["email_verified"]) == (name, None, True)
    assert (await client.get("/v1/files", headers=owner.headers)).json()["data"] == []
    assert (await client.get("/v1/files/usage", headers=owner.headers)).json()["bytes"] == 0
    assert (await client.get("/v1/jobs", headers=owner.headers)).json()["data"] == []
    assert (await client.get("/v1/users/me", headers=stranger.headers)).status_code == 401
    assert await _everything_of(rows, stranger.id) == set()


async def test_a_reset_that_verifies_leaves_nothing_that_a_stranger_planted(
    client, people, inbox, work_off, rows
):
    email = some_email()
    stranger = await _plant(client, people, inbox, email)
    await client.post("/v1/auth/password/forgot", json={"email": email})
    mail = await inbox.last(email)
    assert "prize" not in mail.text + mail.html + mail.subject
    reset = {"token": mail.token, "password": OWN}
    assert (await client.post("/v1/auth/password/reset", json=reset)).status_code == 204
    await work_off()
    await _assert_owned_by_nobody_else(client, people, rows, email, OWN, stranger, name=None)


async def test_a_link_that_verifies_leaves_nothing_that_a_stranger_planted(
    client, people, inbox, work_off, rows
):
    email = some_email()
    stranger = await _plant(client, people, inbox, email)
    body = {"email": email, "password": OWN, "name": "Ada"}
    assert (await client.post("/v1/auth/register", json=body)).status_code == 202
    token = (await inbox.last(email)).token
    assert (await client.post("/v1/auth/email/verify", json={"token": token})).status_code == 204
    await work_off()
    await _assert_owned_by_nobody_else(client, people, rows, email, OWN, stranger, name="Ada")


async def test_the_link_of_a_strangers_registration_keeps_nothing_of_theirs_either(
    client, people, inbox, work_off, rows
):
    email = some_email()
    stranger = await _plant(client, people, inbox, email)
    token = (await inbox.last(email)).token
    assert (await client.post("/v1/auth/email/verify", json={"token": token})).status_code == 204
    await work_off()
    await _assert_owned_by_nobody_else(client, people, rows, email, STRANGER, stranger, name=None)


async def test_a_second_reset_of_a_verified_account_keeps_its_files(client, people, inbox, work_off):
    email = some_email()
    await client.post("/v1/auth/register", json={"email": email, "password": PASSWORD})
    await client.post("/v1/auth/email/verify", json={"token": (await inbox.last(email)).token})
    owner = await people.sign_in(email)
    kept = {"file": ("mine.txt", b"mine", "text/plain")}
    assert (await client.post("/v1/files", files=kept, headers=owner.headers)).status_code == 201
    await client.post("/v1/auth/password/forgot", json={"email": email})
    reset = {"token": (await inbox.last(email)).token, "password": OWN}
    assert (await client.post("/v1/auth/password/reset", json=reset)).status_code == 204
    await work_off()
    again = await people.sign_in(email, OWN)
    assert again.id == owner.id
    (file,) = (await client.get("/v1/files", headers=again.headers)).json()["data"]
    assert file["name"] == "mine.txt"


async def test_an_unverified_address_is_sent_no_text_that_a_stranger_chose(
    client, people, inbox, sign_in, address
):
    email = some_email()
    stranger = await _plant(client, people, inbox, email)
    await sign_in(email, STRANGER, address=address, agent="Win a prize at evil.example")
    change = {"current_password": STRANGER, "new_password": "another password of theirs"}
    await client.post("/v1/auth/password/change", json=change, headers=stranger.headers)
    await client.post("/v1/auth/email/verify/resend", json={"email": email})
    for mail in await inbox.of(email):
        assert "prize" not in mail.text + mail.html + mail.subject
        assert mail.token


async def test_the_mail_and_the_page_of_a_reset_say_that_an_unverified_account_begins_anew(
    client, user, inbox
):
    await client.post("/v1/auth/password/forgot", json={"email": user.email})
    mail = await inbox.last(user.email, "Choose a new password")
    page = await client.get("/reset-password", params={"token": mail.token})
    again = await client.post("/reset-password", data={"token": mail.token, "password": "short"})
    assert again.status_code == 422
    for text in (mail.text, mail.html, page.text, again.text):
        assert "all files and settings stored in it are deleted" in " ".join(text.split())


async def test_the_mail_and_the_page_of_a_reset_say_so_to_nobody_else(client, verified, inbox):
    await client.post("/v1/auth/password/forgot", json={"email": verified.email})
    mail = await inbox.last(verified.email, "Choose a new password")
    for token in (mail.token, "unknown", ""):
        page = await client.get("/reset-password", params={"token": token})
        assert page.status_code == 200
        for text in (mail.text, mail.html, page.text):
            assert "deleted" not in text
