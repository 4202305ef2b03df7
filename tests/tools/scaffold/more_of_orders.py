"""Further tests of generated purchase orders; copied beside the generated tests."""

from uuid import UUID, uuid4

import pytest
from asyncpg import CheckViolationError
from tests.domains.countries.factories import create_country
from tests.domains.purchase_orders.factories import create_purchase_order, purchase_order_body

from domains.jobs.repository.reports import JobFilter
from tests.mails import mails_to

URL = "/v1/purchase-orders"


def refused(answer) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    return {error.get("pointer") or error["parameter"]: error["detail"] for error in answer.json()["errors"]}


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"tip_amount": "1.00"}, "#/tip_currency"),
        ({"tip_currency": "EUR"}, "#/tip_amount"),
        ({"tip_amount": None, "tip_currency": "EUR"}, "#/tip_amount"),
    ],
)
async def test_an_amount_that_may_be_absent_comes_with_its_currency(client, people, user, given, pointer):
    body = await purchase_order_body(people, user)
    created = await create_purchase_order(people, user)
    del body["tip_amount"], body["tip_currency"]
    assert refused(await client.post(URL, json=body | given, headers=user.headers)).keys() == {pointer}
    change = await client.patch(f"{URL}/{created['id']}", json=given, headers=user.headers)
    assert refused(change).keys() == {pointer}
    assert (await client.post(URL, json=body, headers=user.headers)).json()["tip_amount"] is None


async def test_an_amount_is_changed_with_its_currency(client, people, user):
    url = f"{URL}/{(await create_purchase_order(people, user))['id']}"
    alone = await client.patch(url, json={"total_amount": "7.00"}, headers=user.headers)
    assert refused(alone) == {"#/total_currency": "Send it together with total_amount, or neither."}
    change = {"total_amount": "7.00", "total_currency": "USD", "tip_amount": None, "tip_currency": None}
    changed = (await client.patch(url, json=change, headers=user.headers)).json()
    assert {name: changed[name] for name in change} == change


async def test_the_table_holds_no_amount_without_its_currency(people, user, composition):
    order_id = UUID((await create_purchase_order(people, user))["id"])
    orders = composition.purchase_orders.repository()
    with pytest.raises(CheckViolationError, match="ck_purchase_orders_tip"):
        async with composition.database().transaction():
            order = await orders.lock(order_id, user.id)
            order.tip_currency = None
            await orders.save(order)


@pytest.mark.parametrize(
    ("field", "sent"),
    [("a_bool", 0), ("a_bool", "yes"), ("a_decimal", 7.5), ("a_date", "0"), ("a_datetime", 0)],
)
async def test_a_value_is_of_the_type_that_the_document_says(client, people, user, field, sent):
    body = await purchase_order_body(people, user, **{field: sent})
    assert refused(await client.post(URL, json=body, headers=user.headers)).keys() == {f"#/{field}"}


async def test_yes_and_no_can_be_asked_for(client, people, user):
    order = await create_purchase_order(people, user, a_bool=True)
    for asked, found in (("true", [order["id"]]), ("false", [])):
        answer = await client.get(URL, params={"a_bool": asked}, headers=user.headers)
        assert [one["id"] for one in answer.json()["data"]] == found


async def test_amounts_are_compared_within_a_currency(client, people, user):
    await create_purchase_order(people, user, total_amount="5.00")
    dear = await create_purchase_order(people, user, total_amount="9.00")
    alone = await client.get(URL, params={"total_amount_from": "6"}, headers=user.headers)
    assert refused(alone).keys() == {"total_currency"}
    wanted = {"total_amount_from": "6", "total_amount_to": "9", "total_currency": "EUR"}
    found = (await client.get(URL, params=wanted, headers=user.headers)).json()["data"]
    assert [order["id"] for order in found] == [dear["id"]]


async def test_what_is_named_is_looked_for_only_when_it_changes(client, people, user, admin):
    country = await create_country(people, admin)
    order = await create_purchase_order(people, user, country_id=country["id"])
    await client.delete(f"/v1/countries/{country['id']}", headers=admin.headers)
    url, kept = f"{URL}/{order['id']}", {"country_id": country["id"], "rank": 7}
    assert (await client.patch(url, json=kept, headers=user.headers)).json()["rank"] == 7
    answer = await client.patch(url, json={"country_id": str(uuid4())}, headers=user.headers)
    assert answer.json()["code"] == "purchase_orders.country_unknown"


async def test_who_refers_to_something_hears_that_it_was_deleted(
    client, people, admin, composition, work_off
):
    country = await create_country(people, admin)
    await work_off()
    await client.delete(f"/v1/countries/{country['id']}", headers=admin.headers)
    await work_off()
    wanted = JobFilter(kind="purchase_orders.forget_country")
    (job,) = await composition.jobs.operations().latest(wanted, limit=1)
    assert (job.resource_id, job.status) == (UUID(country["id"]), "succeeded")


async def test_a_mail_is_readable(people, user, servers, work_off):
    given = {"a_datetime": "2026-07-01T12:30:00+02:00", "a_decimal": "73.5", "any_str": None, "a_bool": True}
    order = await create_purchase_order(people, user, total_amount="7.5", a_json={"color": "red"}, **given)
    await work_off()
    mail = mails_to(servers.mails, user.email)[-1]
    for kind in ("plain", "html"):
        text = mail.get_body((kind,)).get_content()
        for told in ("1 July 2026, 10:30 UTC", "73.5", "7.50 EUR", "color: red", "yes"):
            assert told in text
        for raw in ("None", "True", "73.5000", "'color'", "Any str", order["country_id"]):
            assert raw not in text
