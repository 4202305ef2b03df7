"""Lists, page by page."""

import base64
import json
from uuid import uuid4

import pytest


@pytest.mark.parametrize(
    ("path", "sort", "value"),
    [
        ("/v1/files", "-created_at", "0001-01-01T00:00:00+23:59"),
        ("/v1/files", "-created_at", "9999-12-31T23:59:59-23:59"),
        ("/v1/files", "-created_at", 1e300),
        ("/v1/files", "name", "a\x00b"),
        ("/v1/files", "name", "\ud800"),
        ("/v1/files", "name", None),
        ("/v1/files", "-size", 2**63),
        ("/v1/files", "size", "NaN"),
        ("/v1/files", "size", "7"),
        ("/v1/files", "size", True),
        ("/v1/files", "size", 7.0),
        ("/v1/files", "created_at", 0),
        ("/v1/files", "created_at", "0"),
        ("/v1/files", "name", 7),
        ("/v1/jobs", "created_at", "0001-01-01T00:00:00+23:59"),
        ("/v1/auth/sessions", "-created_at", "0001-01-01T00:00:00+23:59"),
        ("/v1/users", "email", "\udfff@example.com"),
        ("/v1/emails", "-created_at", "9999-12-31T23:59:59-23:59"),
    ],
)
async def test_a_cursor_that_was_not_made_here_is_a_bad_one(client, admin, path, sort, value):
    made = json.dumps([sort, value, str(uuid4())]).encode()
    query = {"sort": sort, "cursor": base64.urlsafe_b64encode(made).decode().rstrip("=")}
    answer = await client.get(path, params=query, headers=admin.headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "pagination.bad_cursor"), answer.text
