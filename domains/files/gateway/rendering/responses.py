"""Outcomes of operations on untrusted files: a result, a refusal with its reason, or a failure."""

import errno
from collections.abc import Callable
from typing import Any

Request = dict[str, Any]
Response = dict[str, Any]
Operation = Callable[[Request], Response]

# Words in the parsers' errors at the limits of this process.
_LIMIT_SIGNS = ("memory", "allocat", "file too large")
# Words in errors of libheif, libtiff and libjpeg about a codec that they were built without.
_CODEC_SIGNS = (
    "has not been built in",
    "no decoding plugin",
    "unsupported codec",
    "unsupported compression",
    "is not configured",
    "is not implemented",
    "unsupported jpeg process",
)
DETAILS = {
    "parser_limit": "Reading the file takes more memory than this server allows.",
    "unsupported_codec": "This server has no decoder for the encoding of this file.",
    "broken_document": "The content is damaged or does not match its type.",
}


class Refused(Exception):  # an outcome, not a programming error
    """The input can't be used; the first argument is the reason's name, the second a sentence."""


def run_operation(operation: Operation, request: Request) -> Response:
    """Return `ok` with the operation's result, `refused` with reason and `detail`, or `failed` with a sentence."""
    try:
        return {"ok": operation(request)}
    except Refused as refusal:
        return {"refused": refusal.args[0], "detail": refusal.args[1]}
    except MemoryError:
        return _refusal("parser_limit")
    except OSError as error:
        if error.errno == errno.EFBIG:
            return {"refused": "parser_limit", "detail": "What is made of it is larger than allowed."}
        return {"failed": f"{type(error).__name__}: {error.strerror}"}
    except Exception as error:  # noqa: BLE001  # any error of a parser is a refusal
        return _refusal(reason_of(error))


def _refusal(reason: str) -> Response:
    return {"refused": reason, "detail": DETAILS[reason]}


def reason_of(error: Exception) -> str:
    """Return the reason for an error of a parser: a missing codec, a limit, or else damage."""
    # Of pyvips, `str` also has the name of the operation, which may hold the word "memory".
    text = str(getattr(error, "detail", None) or error).lower()
    if any(sign in text for sign in _CODEC_SIGNS):
        return "unsupported_codec"
    return "parser_limit" if any(sign in text for sign in _LIMIT_SIGNS) else "broken_document"
