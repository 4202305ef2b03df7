"""The preamble of a multipart body: what precedes its first boundary (RFC 2046, section 5.1.1)."""

import re

from domains.files.errors import MalformedMultipart

MAX_STRAY_BYTES = 1024
"""Bytes allowed before the first and after the last boundary."""
_MAX_PADDING = 64


class Preamble:
    """Removes the preamble, and the padding of the first boundary, which the parser does not support."""

    def __init__(self, boundary: bytes) -> None:
        delimiter = rb"(?:\A|\r\n)--" + re.escape(boundary)
        self._delimiter = b"--" + boundary
        self._first = re.compile(delimiter + rb"[ \t]{0,%d}(\r\n|--)" % _MAX_PADDING)
        self._first_of_others = re.compile(delimiter + rb"\n")
        self._limit = MAX_STRAY_BYTES + len(self._delimiter) + _MAX_PADDING
        self._seen = b""
        self._is_over = False

    def strip(self, chunk: bytes) -> bytes:
        """Return the part of a chunk that is for the parser: nothing before the first boundary.

        Raises:
            MalformedMultipart: there is no boundary, or its line ends without CR.
        """
        if self._is_over:
            return chunk
        self._seen += chunk
        found = self._first.search(self._seen, 0, self._limit)
        if found is None:
            self._check()
            return b""
        self._is_over = True
        rest, self._seen = self._seen[found.end() :], b""
        return self._delimiter + found[1] + rest

    def _check(self) -> None:
        if self._first_of_others.search(self._seen, 0, self._limit):
            raise MalformedMultipart("The lines of a multipart body end with CR and LF.")
        if len(self._seen) > self._limit:
            raise MalformedMultipart("There is too much before the first or after the last part.")
