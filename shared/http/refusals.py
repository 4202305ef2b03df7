"""Errors of requests that are rejected before routing."""

from collections.abc import Mapping

from shared.errors import AppError, BadRequest, TooLarge, Unavailable


class Malformed(BadRequest):
    """The request is not valid HTTP/1.1."""

    code = "request.malformed"
    detail = "The server can't parse this HTTP request."


class UnknownMethod(AppError):
    """The server supports this method on no path."""

    code = "request.unknown_method"
    remedy = "Use a method that the documentation lists."
    status = 501
    title = "Unknown method"
    detail = "This server does not support this method."


class HeadTooLarge(AppError):
    """The request line or the header fields are too many or too long."""

    code = "request.head_too_large"
    remedy = "Send fewer and shorter header fields."
    status = 431
    title = "Header fields too large"
    detail = "The URL or the header fields are too long, or there are too many header fields."


class Late(AppError):
    """The request arrived too slowly."""

    code = "request.timed_out"
    remedy = "Send the request again. If it fails again, use a faster connection or send less."
    status = 408
    title = "The request took too long"
    detail = "The request did not arrive completely in time. Send it again."


class Stopping(Unavailable):
    """The process is ending and can't wait for the rest of the body."""

    code = "server.stopping"
    remedy = "Send the request again, with the same `Idempotency-Key`."
    detail = "This server process is stopping. Send the request again."

    def __init__(self) -> None:
        """Ask the client to retry at once, because another process accepts requests."""
        super().__init__(retry_after=1)


class BodyTooLarge(TooLarge):
    """The body is larger than the operation accepts."""

    code = "request.body_too_large"
    detail = "The body is too large for this operation."


class BadQuery(BadRequest):
    """The path or the query is not percent-encoded UTF-8, contains NUL, or is too long."""

    code = "request.bad_query"
    detail = "Path and query must be percent-encoded UTF-8 without NUL, the query at most 8 KiB."


class AmbiguousLength(BadRequest):
    """Two headers disagree about where the body ends (RFC 9112, section 6.1)."""

    code = "request.ambiguous_length"
    remedy = "Send either `Content-Length` or `Transfer-Encoding: chunked`."
    detail = "Send either Content-Length or Transfer-Encoding."


class UnsupportedEncoding(AppError):
    """The body is compressed. Decompression would let a small request use much memory."""

    code = "request.unsupported_encoding"
    remedy = "Send the body without `Content-Encoding`."
    status = 415
    title = "Unsupported content coding"
    detail = "Send the body unencoded, without Content-Encoding."

    @property
    def headers(self) -> Mapping[str, str]:
        """Accepted encodings (RFC 9110, section 12.5.3)."""
        return {"Accept-Encoding": "identity"}


class UnsupportedTransferCoding(AppError):
    """The body has a transfer coding other than `chunked` (RFC 9112, section 6.1)."""

    code = "request.unsupported_transfer_coding"
    remedy = "Send `Content-Length`, or `Transfer-Encoding: chunked` alone."
    status = 501
    title = "Unsupported transfer coding"
    detail = "Send the body with Content-Length, or with Transfer-Encoding: chunked alone."


class RepeatedField(BadRequest):
    """A header field that has one value was sent several times.

    A proxy may have read another value than the server.
    """

    code = "request.repeated_field"
    remedy = "Send the header field once."
    detail = "A single-valued header field was repeated."
