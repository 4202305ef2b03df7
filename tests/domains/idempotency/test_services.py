"""A request with an Idempotency-Key is executed once."""

from uuid import uuid4

import pytest

from shared.idempotency import Attempt, InProgress, KeyedRequest, KeyReused, StoredResponse

RESPONSE = StoredResponse(201, [("location", "/v1/files/1")], b"{}")


@pytest.fixture
def stored_responses(app, composition):
    return composition.idempotency.service()


@pytest.fixture
def request_():
    return KeyedRequest(owner_id=uuid4(), identity=f"ada POST /v1/files {uuid4()}".encode(), content=b"one")


async def test_a_response_is_stored_and_the_request_not_repeated(stored_responses, request_):
    attempt = await stored_responses.begin(request_)
    assert isinstance(attempt, Attempt)
    with pytest.raises(InProgress):
        await stored_responses.begin(request_)
    await stored_responses.finish(attempt, RESPONSE)
    stored = await stored_responses.begin(request_)
    assert (stored.status, stored.body, [tuple(pair) for pair in stored.headers]) == (
        201,
        b"{}",
        RESPONSE.headers,
    )


async def test_a_key_belongs_to_one_request(stored_responses, request_):
    await stored_responses.begin(request_)
    with pytest.raises(KeyReused):
        await stored_responses.begin(KeyedRequest(request_.owner_id, request_.identity, b"another"))


async def test_a_row_shows_nothing_of_its_request(stored_responses, request_, rows):
    await stored_responses.begin(request_)
    (row,) = await rows(
        "SELECT identity, content FROM idempotency.keys WHERE owner_id = $1", request_.owner_id
    )
    assert b"ada" not in row["identity"]
    assert b"one" not in row["content"]


async def test_an_attempt_that_was_overtaken_stores_nothing(stored_responses, request_, rows):
    attempt = await stored_responses.begin(request_)
    await rows("UPDATE idempotency.keys SET token = $1 WHERE owner_id = $2", uuid4(), request_.owner_id)
    with pytest.raises(InProgress):
        await stored_responses.finish(attempt, RESPONSE)


async def test_what_was_given_up_or_purged_can_begin_again(stored_responses, request_):
    await stored_responses.give_up(await stored_responses.begin(request_))
    assert isinstance(await stored_responses.begin(request_), Attempt)
    await stored_responses.purge(request_.owner_id)
    assert isinstance(await stored_responses.begin(request_), Attempt)


async def test_pruning_goes_on_until_nothing_is_left(stored_responses, rows):
    await stored_responses.prune()
    await rows(
        "INSERT INTO idempotency.keys (identity, content, token, lease_expires_at, expires_at)"
        " SELECT decode(md5(i::text), 'hex'), '', gen_random_uuid(), now(), now() - interval '1 second'"
        " FROM generate_series(1, 2500) i"
    )
    assert await stored_responses.prune() >= 2500
