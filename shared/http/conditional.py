"""Strong ETags of single resources, and the conditions that clients set with them (RFC 9110, 8.8.3 and 13.1)."""

import hashlib
import re
from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response

from shared.db.preconditions import Precondition, PreconditionFailed, WeakCondition
from shared.errors import BadRequest
from shared.http.compression import GZIP, tag_without
from shared.http.entity_tags import EntityTag, are_weak, read_tags

_SAFE = frozenset({"GET", "HEAD"})
_OURS = re.compile(rf"(\d{{1,18}})-[0-9a-f]{{16}}(?:-{GZIP})?")
_KEPT_BY_304 = frozenset(
    {b"cache-control", b"etag", b"expires", b"link", b"location", b"retry-after", b"vary"}
)
_ANY = "*"
ETAG = b"etag"


class MalformedCondition(BadRequest):
    """`If-Match` or `If-None-Match` is not a list of entity tags."""

    code = "request.malformed_condition"
    remedy = "Send the `ETag` of an earlier response, with its quotes, or `*`."
    detail = 'If-Match and If-None-Match are `*` or a list of entity tags: `"1-0123456789abcdef", W/"other"`.'


def etag_of(revision: int, body: bytes) -> str:
    """Return the strong ETag of a representation: the row's revision, and what else is shown of it, as a digest."""
    return f'"{revision}-{hashlib.blake2b(body, digest_size=8).hexdigest()}"'


def precondition_of(request: Request) -> Precondition | None:
    """Return what an operation that changes something is to be checked against; None: nothing.

    `If-Match: *` asks for what every operation asks for: that the thing is there.

    Raises:
        MalformedCondition: the headers can't be read.
    """
    if request.method in _SAFE:
        return None
    match, none_match = _condition(request, "if-match"), _condition(request, "if-none-match")
    if match in (None, _ANY) and none_match is None:
        return None
    return Precondition(
        if_match=None if match in (None, _ANY) else frozenset(_revisions(match, weak=False)),
        if_none_match=None if none_match == _ANY else frozenset(_revisions(none_match, weak=True)),
        is_weak=_is_weak(match),
    )


def conditional_response(request: Request, response: Response) -> Response:
    """Return the answer to a read that has an ETag, or 304 if the client has it already in any content coding.

    Raises:
        PreconditionFailed: If-Match names another state.
        WeakCondition: If-Match names weak tags alone.
        MalformedCondition: the headers can't be read.
    """
    tag = response.headers["etag"]
    match = _condition(request, "if-match")
    if match not in (None, _ANY) and not any(
        tag_without(text) == tag for is_weak, text in _tags(match) if not is_weak
    ):
        raise WeakCondition if _is_weak(match) else PreconditionFailed
    known = _condition(request, "if-none-match")
    if known is None:
        return response
    same = (
        tag if known == _ANY else next((text for _, text in _tags(known) if tag_without(text) == tag), None)
    )
    return response if same is None else _unchanged(response, same)


def _unchanged(response: Response, tag: str) -> Response:
    """Return 304 with the ETag that the client has, even if its content coding differs from the present one's."""
    unchanged = Response(status_code=304, background=response.background)
    unchanged.raw_headers = [pair for pair in response.raw_headers if pair[0] in _KEPT_BY_304]
    unchanged.headers["etag"] = tag
    return unchanged


def _is_weak(match: str | None) -> bool:
    return match not in (None, _ANY) and are_weak(_tags(match))


def _condition(request: Request, name: str) -> str | None:
    """Return a header's value, `*`, or a list that can be read."""
    lines = request.headers.getlist(name)
    if not lines:
        return None
    value = ",".join(lines).strip(" \t")
    if value != _ANY:
        _tags(value)
    return value


def _tags(value: str | None) -> list[EntityTag]:
    """Return the tags of a list. Raises MalformedCondition."""
    tags = read_tags(value or "")
    if tags is None:
        raise MalformedCondition
    return tags


def _revisions(value: str | None, *, weak: bool) -> Iterator[int]:
    """Yield the revisions in the tags; skip tags that this server did not issue."""
    for is_weak, text in _tags(value):
        found = _OURS.fullmatch(text.strip('"'))
        if found and (weak or not is_weak):
            yield int(found[1])
