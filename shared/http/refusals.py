"""Errors of requests that are rejected before routing."""

from collections.abc import Mapping

from shared.errors import AppError, BadRequest, TooLarge, Unavailable


class Malformed(BadRequest):
    """Bytes that are no HTTP/1.1."""

    code = "request.malformed"
    detail = "The server can't parse this HTTP request."


class UnknownMethod(AppError):
    """A method that no path of this server knows."""

    code = "request.unknown_method"
    status = 501
    title = "Unknown method"
    detail = "This server does not support this method."


class HeadTooLarge(AppError):
    """More or longer header fields than are read."""

    code = "request.head_too_large"
    status = 431
    title = "Header fields too large"
    detail = "The URL or the header fields are too long, or there are too many header fields."


class Late(AppError):
    """The request didn't arrive in time."""

    code = "request.timed_out"
    status = 408
    title = "The request took too long"
    detail = "The request did not arrive completely in time. Send it again."


class Stopping(Unavailable):
    """The process ends, and can't wait for the rest of the body."""

    code = "server.stopping"
    detail = "This server process is stopping. Send the request again."

    def __init__(self) -> None:
        """Ask the client to retry at once, because another process accepts requests."""
        super().__init__(retry_after=1)


class BodyTooLarge(TooLarge):
    """The body is larger than this operation reads."""

    code = "request.body_too_large"
    detail = "The body is too large for this operation."


class BadQuery(BadRequest):
    """The path or the query holds bytes that are no text, or is endless."""

    code = "request.bad_query"
    detail = "Path and query must be percent-encoded UTF-8 without NUL, the query at most 8 KiB."


class AmbiguousLength(BadRequest):
    """Two headers disagree about where the body ends (RFC 9112, section 6.1)."""

    code = "request.ambiguous_length"
    detail = "Send either Content-Length or Transfer-Encoding."


class UnsupportedEncoding(AppError):
    """The body is compressed: reading it would be an invitation to send little that becomes much."""

    code = "request.unsupported_encoding"
    status = 415
    title = "Unsupported content coding"
    detail = "Send the body unencoded, without Content-Encoding."

    @property
    def headers(self) -> Mapping[str, str]:
        """What is accepted (RFC 9110, section 12.5.3)."""
        return {"Accept-Encoding": "identity"}


class UnsupportedTransferCoding(AppError):
    """The body comes in a coding besides `chunked` (RFC 9112, section 6.1)."""

    code = "request.unsupported_transfer_coding"
    status = 501
    title = "Unsupported transfer coding"
    detail = "Send the body with Content-Length, or with Transfer-Encoding: chunked alone."


class RepeatedField(BadRequest):
    """A header field that has one value came with several: others on the way may have read another one."""

    code = "request.repeated_field"
    detail = "A single-valued header field was repeated."
