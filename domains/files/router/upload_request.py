"""Parsing of upload requests: multipart or raw, names, digests, tags and metadata."""

import base64
import binascii
import re
from collections.abc import AsyncIterator
from json import JSONDecodeError

from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request

from domains.files.errors import (
    DetailsRefused,
    MalformedDigest,
    MalformedDisposition,
    NoFileInBody,
    NothingChosen,
    NothingSent,
    UploadInterrupted,
)
from domains.files.router.disposition import file_name_of
from domains.files.router.multipart import MultipartUpload
from domains.files.schemas.bodies import FileCreate
from domains.files.schemas.fields import clean_name
from domains.files.service.details import check_details
from domains.files.service.uploads import IncomingUpload
from domains.files.settings import FilesSettings
from shared.http.parameters import parse_parameters
from shared.http.strict_json import MalformedJson, parse
from shared.identity import Principal
from shared.text import as_line

_DIGEST = re.compile(r"(?:^|,)\s*sha-256\s*=([^,]*)", re.IGNORECASE)
_DIGEST_BYTES = 32
_MAX_TYPE = 255
_PARAMETERS = frozenset({"application/json", "application/x-www-form-urlencoded"})
"""Types of bodies that clients send to other operations by mistake."""


async def parse_upload(request: Request, caller: Principal, settings: FilesSettings) -> IncomingUpload:
    """Return the upload of a request, before its bytes are read.

    Raises:
        MalformedMultipart, MalformedDisposition, MalformedDigest: the request can't be parsed.
        NothingSent, NothingChosen, NoFileInBody: there is no file.
        UploadInterrupted: the client disconnected.
    """
    content_type = request.headers.get("content-type", "")
    if not content_type and not _content_length(request) and "transfer-encoding" not in request.headers:
        raise NothingSent
    digest, media_type = _digest_of(request), content_type.partition(";")[0].strip().lower()
    if media_type in _PARAMETERS and "content-disposition" not in request.headers:
        raise NoFileInBody
    if media_type != "multipart/form-data":
        return _raw_upload(request, caller, digest)
    upload = MultipartUpload(_body_chunks(request), content_type, settings)
    await upload.open()
    chunks = upload.chunks()
    first = await anext(chunks, b"")
    if not first and not upload.file_name:
        raise NothingChosen
    return IncomingUpload(
        caller=caller,
        name=clean_name(upload.file_name),
        declared_content_type=_declared_type(upload.content_type),
        length=None,
        at_most=_content_length(request),
        digest=digest,
        chunks=_chain(first, chunks),
        details=lambda: _details(upload.fields, settings),
    )


def _raw_upload(request: Request, caller: Principal, digest: bytes | None) -> IncomingUpload:
    length = _content_length(request)
    return IncomingUpload(
        caller=caller,
        name=_raw_name(request),
        declared_content_type=_declared_type(request.headers.get("content-type")),
        length=length,
        at_most=length,
        digest=digest,
        chunks=_body_chunks(request),
        details=FileCreate,
    )


async def _chain(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for chunk in others:
        yield chunk


async def _body_chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            if chunk:
                yield chunk
    except ClientDisconnect as error:
        raise UploadInterrupted from error


def _content_length(request: Request) -> int | None:
    header = request.headers.get("content-length", "")
    # Twenty digits exceed any limit; Python refuses to convert thousands.
    return int(header[:20]) if header.isascii() and header.isdecimal() else None


def _raw_name(request: Request) -> str:
    header = request.headers.get("content-disposition")
    if header is None:
        return clean_name(None)
    try:
        return clean_name(file_name_of(parse_parameters(header)))
    except ValueError as error:
        raise MalformedDisposition from error


def _declared_type(header: str | None) -> str | None:
    """Return the client's Content-Type, which is only shown: one line, cut off if it is long."""
    return None if header is None else as_line(header)[:_MAX_TYPE]


def _digest_of(request: Request) -> bytes | None:
    """Return the SHA-256 of Repr-Digest (RFC 9530, section 3); other algorithms are ignored as it allows."""
    found = _DIGEST.findall(",".join(request.headers.getlist("repr-digest")))
    if not found:
        return None
    encoded = found[-1].strip()
    try:
        digest = base64.b64decode(encoded[1:-1], validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedDigest from error
    if len(digest) != _DIGEST_BYTES or encoded[0] + encoded[-1] != "::":
        raise MalformedDigest
    return digest


def _details(fields: dict[str, list[str]], settings: FilesSettings) -> FileCreate:
    unknown = fields.keys() - {"tags", "metadata"}
    if unknown:
        raise DetailsRefused("The form has a field that is neither `file`, `tags` nor `metadata`.")
    if len(fields.get("metadata", [])) > 1:
        raise DetailsRefused("The form has the field `metadata` more than once.")
    # An empty form field is sent as an empty string.
    tags = [tag for tag in dict.fromkeys(fields.get("tags", [])) if tag]
    metadata = fields.get("metadata", [""])[-1] or "{}"
    try:
        details = FileCreate(tags=tags, metadata=parse(metadata.encode()))
    except MalformedJson as error:
        raise DetailsRefused(f"The field `metadata` must be a JSON object: {_reason(error)}") from error
    except ValidationError as error:
        problem = error.errors(include_input=False)[0]
        raise DetailsRefused(
            f"The field `{problem['loc'][0]}` can't be accepted: {problem['msg']}."
        ) from error
    check_details(settings, tags=details.tags, metadata=details.metadata)
    return details


def _reason(error: MalformedJson) -> str:
    """Return what is wrong with the JSON of a form field."""
    if error.detail != MalformedJson.detail:
        return error.detail
    cause = error.__cause__
    place = f" at line {cause.lineno} column {cause.colno}" if isinstance(cause, JSONDecodeError) else ""
    return f"it is not valid JSON{place}."
