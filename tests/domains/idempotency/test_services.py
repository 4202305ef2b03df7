"""How a request is done once, without a database."""

import base64
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from domains.idempotency.schemas import KeyRow
from domains.idempotency.service import StoredResponseService
from domains.idempotency.settings import IdempotencySettings
from shared.idempotency import Attempt, InProgress, KeyedRequest, KeyReused, StoredResponse


@asynccontextmanager
async def transaction(*, separate=False):
    yield


class Rows:
    def __init__(self):
        self.keys = {}
        self.tokens = {}
        self.leftovers = 0

    async def begin(self, identity, content, *, owner_id, token, lease, keep):
        if identity in self.keys:
            return False
        self.keys[identity] = KeyRow(content=content, status=None, headers=None, body=None, streamed=None)
        self.tokens[identity] = token
        return True

    async def find(self, identity):
        return self.keys.get(identity)

    async def finish(self, identity, token, **response):
        if self.tokens.get(identity) != token:
            return False
        self.keys[identity] = KeyRow(content=self.keys[identity].content, **response)
        return True

    async def give_up(self, identity, token):
        self.keys.pop(identity, None)

    async def prune(self, *, batch):
        forgotten = min(batch, self.leftovers)
        self.leftovers -= forgotten
        return forgotten

    async def purge_owner(self, owner_id):
        self.keys.clear()


@pytest.fixture
def rows():
    return Rows()


@pytest.fixture
def stored_responses(rows):
    secret = base64.urlsafe_b64encode(bytes(32)).decode().rstrip("=")
    return StoredResponseService(
        rows, transaction=transaction, settings=IdempotencySettings(), secrets=[secret]
    )


REQUEST = KeyedRequest(owner_id=uuid4(), identity=b"ada POST /v1/files key", content=b"one")


async def test_what_was_done_is_answered_and_not_done_again(stored_responses):
    attempt = await stored_responses.begin(REQUEST)
    assert isinstance(attempt, Attempt)
    with pytest.raises(InProgress):
        await stored_responses.begin(REQUEST)
    given = StoredResponse(201, [("location", "/v1/files/1")], b"{}")
    await stored_responses.finish(attempt, given)
    kept = await stored_responses.begin(REQUEST)
    assert (kept.status, kept.body, [tuple(pair) for pair in kept.headers]) == (201, b"{}", given.headers)


async def test_a_key_belongs_to_one_request(stored_responses):
    await stored_responses.begin(REQUEST)
    with pytest.raises(KeyReused):
        await stored_responses.begin(KeyedRequest(REQUEST.owner_id, REQUEST.identity, b"another"))


async def test_nothing_of_a_request_is_readable_in_its_row(stored_responses, rows):
    await stored_responses.begin(REQUEST)
    ((identity, row),) = rows.keys.items()
    assert b"ada" not in identity
    assert b"one" not in row.content


async def test_who_was_overtaken_keeps_nothing(stored_responses, rows):
    attempt = await stored_responses.begin(REQUEST)
    rows.tokens[attempt.identity] = uuid4()
    with pytest.raises(InProgress):
        await stored_responses.finish(attempt, StoredResponse(200, [], b""))


async def test_what_was_given_up_or_purged_can_begin_again(stored_responses):
    await stored_responses.give_up(await stored_responses.begin(REQUEST))
    assert isinstance(await stored_responses.begin(REQUEST), Attempt)
    await stored_responses.purge(REQUEST.owner_id)
    assert isinstance(await stored_responses.begin(REQUEST), Attempt)


async def test_pruning_goes_on_until_nothing_is_left(stored_responses, rows):
    rows.leftovers = 2500
    assert await stored_responses.prune() == 2500
