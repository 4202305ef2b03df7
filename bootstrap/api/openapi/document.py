"""The OpenAPI document: FastAPI's, with additions that apply to all operations."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from bootstrap.api.openapi.examples import add_examples
from bootstrap.api.openapi.links import add_links
from bootstrap.api.openapi.numbers import add_number_formats
from bootstrap.api.openapi.parameters import describe_parameters
from bootstrap.api.openapi.responses import complete_responses, responses_of
from bootstrap.api.openapi.schemas import complete_schemas
from shared.http.description import describe_operations
from shared.http.response_headers import RESPONSE_HEADERS

DESCRIPTION = """Accounts, files, mail and background jobs.

* Errors are problem documents (RFC 9457): `code` is stable, and `type` is the address of a page that explains it.
  Besides the errors of an operation, any request may get `request.unknown_host`, `request.malformed` or
  `request.repeated_field` (400), `request.timed_out` (408), `request.head_too_large` (431), `request.unknown_method` or
  `request.unsupported_transfer_coding` (501).
* Send `Authorization: Bearer <access token>`; `POST /v1/auth/token` returns one.
* Lists have pages: pass `next_cursor` of one page as `cursor` to get the next, or follow `Link`.
* Operations that take long return jobs; follow them live with `GET /v1/jobs/{job_id}/events`.
* Send an `Idempotency-Key` with operations that must not happen twice. If a response was lost, repeat the request with
  the same key.
* Single resources have an `ETag`: `If-None-Match` saves a transfer, `If-Match` prevents lost updates.
* Unknown fields and parameters are errors. HEAD works wherever GET does.
* `X-Request-Id` and `traceparent` are passed on to the jobs, mails and log lines that a request causes.
"""


def document_of(app: FastAPI, *, public_url: str) -> dict[str, Any]:
    """Return the public document of an application; `public_url` is the base URL for clients."""
    document = internal_document_of(app, public_url=public_url)
    for operation in _operations(document):
        for remark in [name for name in operation if name.startswith("x-")]:
            del operation[remark]
    return document


def internal_document_of(app: FastAPI, *, public_url: str) -> dict[str, Any]:
    """Return the document with what routes say in `openapi_extra` to tests: what a body refers to, what is shared."""
    url = public_url.rstrip("/")
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION,
        contact={"name": "Operator of this installation", "url": url},
        license_info={"name": "MIT", "identifier": "MIT"},
        servers=[{"url": url, "description": "This installation."}],
        routes=app.routes,
        tags=app.openapi_tags,
    )
    complete_schemas(document)
    describe_operations(document)
    describe_parameters(document)
    complete_responses(document, public_url=url)
    for operation in _operations(document):
        operation.setdefault(
            "security", []
        )  # also for public operations, because a missing entry could be an oversight
    add_examples(document)
    add_links(document)
    named = {name for response in responses_of(document) for name in response["headers"]}
    document["components"]["headers"] = {name: deepcopy(RESPONSE_HEADERS[name]) for name in sorted(named)}
    add_number_formats(document)
    return document


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in document["paths"].values():
        yield from operations.values()
