"""A multipart/form-data body as a stream (RFC 7578): small fields, and one file."""

import logging
import re
from collections.abc import AsyncIterator

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser

from domains.files.errors import MalformedMultipart
from domains.files.router.preamble import MAX_STRAY_BYTES, Preamble
from domains.files.settings import FilesSettings
from shared.http.parameters import parse_parameters

FILE_FIELD = "file"
_MAX_HEADERS = 8
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046, section 5.1.1
_PLAIN_ENCODINGS = frozenset({"", "7bit", "8bit", "binary"})
_CHARSETS = frozenset({"utf-8", "us-ascii"})
_ENCODED = re.compile("%(22|0D|0A)")
_LONGEST_SHOWN = 50

# It logs each malformed body as a warning; the client gets an error instead.
logging.getLogger("python_multipart").setLevel(logging.ERROR)


class MultipartUpload:
    """One upload. `open()` reads up to the file, `chunks()` yields its bytes; afterwards `fields` is complete."""

    def __init__(self, stream: AsyncIterator[bytes], content_type: str, settings: FilesSettings) -> None:
        """Prepare to read. Raises MalformedMultipart if the header has no valid boundary."""
        self.file_name: str | None = None
        self.content_type: str | None = None
        self.fields: dict[str, list[str]] = {}
        self._stream = stream
        self._settings = settings
        self._parts = 0
        self._after = 0
        self._ended = False
        self._has_file = False
        self._in_file = False
        self._headers: dict[str, str] = {}
        self._header_name, self._header_value = bytearray(), bytearray()
        self._field_name, self._field_value = "", bytearray()
        self._arrived: list[bytes] = []
        boundary = _boundary_of(content_type)
        self._preamble = Preamble(boundary)
        self._parser = self._new_parser(boundary)

    async def open(self) -> None:
        """Read until the file begins. Raises MalformedMultipart if there is none."""
        while not self._has_file:
            if not await self._feed():
                self._check_end()
                raise MalformedMultipart(f"The form has no part named `{FILE_FIELD}`.")

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the file's bytes, then read the body to its end. Raises MalformedMultipart if the end is missing."""
        while True:
            if self._arrived:
                arrived, self._arrived = b"".join(self._arrived), []
                yield arrived
            if not await self._feed():
                break
        self._check_end()

    async def _feed(self) -> bool:
        chunk = await anext(self._stream, None)
        if chunk is None:
            return False
        if self._ended:
            self._after += len(chunk)
        try:
            self._parser.write(self._preamble.strip(chunk))
        except MultipartParseError as error:
            raise MalformedMultipart from error
        if self._after > MAX_STRAY_BYTES:
            raise MalformedMultipart("There is too much before the first or after the last part.")
        return True

    def _check_end(self) -> None:
        if not self._ended:
            raise MalformedMultipart("The closing boundary is missing: the body was cut off.")

    def _new_parser(self, boundary: bytes) -> MultipartParser:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._add_header_name,
                "on_header_value": self._add_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._add_data,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
            max_header_count=_MAX_HEADERS,
            max_header_size=self._settings.files_multipart_max_header_bytes,
        )

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > self._settings.files_multipart_max_parts:
            raise MalformedMultipart("The body has too many parts.")
        self._headers = {}

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        name = self._header_name.decode("latin-1").lower()
        if name in self._headers:
            raise MalformedMultipart("A part has the same header twice.")
        self._headers[name] = self._header_value.decode("utf-8", "replace")
        self._header_name, self._header_value = bytearray(), bytearray()

    def _end_headers(self) -> None:
        parameters = self._disposition()
        self._check_encoding()
        self._in_file = parameters["name"] == FILE_FIELD
        if not self._in_file:
            self._begin_field(parameters)
            return
        if self._has_file:
            raise MalformedMultipart("The body has more than one file.")
        self._has_file = True
        # RFC 7578, section 4.2 forbids `filename*` here.
        self.file_name = _form_name(parameters.get("filename"))
        self.content_type = self._headers.get("content-type")

    def _begin_field(self, parameters: dict[str, str]) -> None:
        name = parameters["name"]
        if "filename" in parameters:
            shown = "".join(filter(str.isprintable, name))[:_LONGEST_SHOWN]
            raise MalformedMultipart(f"The part with the file must be named `{FILE_FIELD}`, not `{shown}`.")
        self._field_name, self._field_value = name, bytearray()

    def _check_encoding(self) -> None:
        """Refuse transfer encodings: the encoded bytes would be stored (RFC 7578, sections 4.5 and 4.7)."""
        if self._headers.get("content-transfer-encoding", "").strip().lower() not in _PLAIN_ENCODINGS:
            raise MalformedMultipart("A part has a Content-Transfer-Encoding; send its bytes as they are.")

    def _disposition(self) -> dict[str, str]:
        try:
            parameters = parse_parameters(self._headers["content-disposition"])
        except (KeyError, ValueError) as error:
            raise MalformedMultipart("A part has no readable Content-Disposition.") from error
        if parameters[""] != "form-data" or "name" not in parameters:
            raise MalformedMultipart("A part has no name.")
        return parameters

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._arrived.append(data[start:end])
            return
        self._field_value += data[start:end]
        if len(self._field_value) > self._settings.files_multipart_max_field_bytes:
            raise MalformedMultipart("A field beside the file is too long.")

    def _end_part(self) -> None:
        if self._in_file:
            self._in_file = False
            return
        if _charset_of(self._headers.get("content-type", "")) not in _CHARSETS:
            raise MalformedMultipart("A field beside the file is not UTF-8.")
        try:
            value = self._field_value.decode()
        except UnicodeDecodeError as error:
            raise MalformedMultipart("A field beside the file is not UTF-8.") from error
        self.fields.setdefault(self._field_name, []).append(value)

    def _end(self) -> None:
        self._ended = True


def _boundary_of(content_type: str) -> bytes:
    try:
        boundary = parse_parameters(content_type)["boundary"]
    except (KeyError, ValueError) as error:
        raise MalformedMultipart("Content-Type names no boundary.") from error
    if not _BOUNDARY.fullmatch(boundary):
        raise MalformedMultipart("The boundary must be 1 to 70 of the characters that RFC 2046 allows in it.")
    return boundary.encode("ascii")


def _form_name(name: str | None) -> str | None:
    """Decode what browsers encode in names: quotes and line breaks only (HTML standard, "multipart form data")."""
    return None if name is None else _ENCODED.sub(lambda found: chr(int(found[1], 16)), name)


def _charset_of(content_type: str) -> str:
    try:
        return parse_parameters(content_type).get("charset", "utf-8").lower()
    except ValueError:
        return ""
