"""The audit log: decisions about an account are recorded with user, address and request."""

from tests.conftest import some_address
from tools.faults.people import PASSWORD


async def test_every_decision_about_an_account_leaves_an_event(
    client, user, other, admin, sign_in, refresh, later, rows
):
    """Each request has an id of its own, so that an event leads to the request that caused it."""
    address = some_address()
    asked: dict[str, str] = {}

    def tagged(event: str, headers: dict[str, str] | None = None) -> dict[str, str]:
        asked[event] = f"asked-for-{event}"
        return {"X-Request-Id": asked[event], "X-Forwarded-For": address, **(headers or {})}

    form = {"grant_type": "password", "username": user.email}
    await client.post("/v1/auth/token", data=form | {"password": "wrong"}, headers=tagged("login_failed"))
    answer = await client.post(
        "/v1/auth/token", data=form | {"password": user.password}, headers=tagged("login_succeeded")
    )
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    await client.get("/v1/users", headers=tagged("scope_refused", bearer))
    wrong = {"current_password": "wrong", "new_password": f"{PASSWORD} anew"}
    await client.post("/v1/auth/password/change", json=wrong, headers=tagged("password_check_failed", bearer))
    right = wrong | {"current_password": user.password}
    await client.post("/v1/auth/password/change", json=right, headers=tagged("password_changed", bearer))
    old = answer.json()["refresh_token"]
    await refresh(old)
    later(seconds=11)
    reused = {"grant_type": "refresh_token", "refresh_token": old}
    await client.post("/v1/auth/token", data=reused, headers=tagged("refresh_reused"))
    for action in ("disable", "enable"):
        headers = tagged(f"account_{action}d", admin.headers)
        await client.post(f"/v1/users/{user.id}/{action}", headers=headers)
    sql = "SELECT event, user_id, address, request_id FROM auth.security_events WHERE request_id = $1"
    for event, request_id in asked.items():
        (line,) = await rows(sql, request_id)
        assert (line["event"], line["user_id"], line["address"]) == (event, user.id, address)


async def test_who_became_an_administrator_is_written_down(admin, rows):
    events = await rows("SELECT event FROM auth.security_events WHERE user_id = $1", admin.id)
    assert "admin_created" in {row["event"] for row in events}
