import time
from collections.abc import AsyncIterator

import pytest

from domains.files.errors import MalformedMultipart
from domains.files.router.multipart import MultipartUpload
from domains.files.schemas.fields import clean_name
from domains.files.settings import FilesSettings

SETTINGS = FilesSettings()
HEADER = "multipart/form-data; boundary=frontier"


async def stream(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def part(head: str, value: bytes) -> bytes:
    return f"--frontier\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + value + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--frontier--\r\n"


async def read(
    body: bytes, *, size: int = 65536, settings: FilesSettings = SETTINGS
) -> tuple[MultipartUpload, bytes]:
    upload = MultipartUpload(stream(body, size), HEADER, settings)
    await upload.open()
    return upload, b"".join([chunk async for chunk in upload.chunks()])


@pytest.mark.parametrize("size", [1, 2, 7, 64, 65536, 1 << 30])
async def test_a_file_and_fields_around_it_arrive_whole_however_the_network_cuts_them(size):
    content = b"\r\n--frontie\r\n--\r\n\x00binary" * 200
    body = form(
        part('name="tags"', b"one"),
        part('name="file"; filename="r\xc3\xa4um.bin"'.encode("latin-1").decode("utf-8"), content),
        part('name="tags"', b"two"),
        part('name="metadata"', b'{"a": 1}'),
    )
    upload, data = await read(body, size=size)
    assert data == content
    assert upload.file_name == "räum.bin"
    assert upload.fields == {"tags": ["one", "two"], "metadata": ['{"a": 1}']}


async def test_an_empty_file_is_a_file():
    _, data = await read(form(part('name="file"; filename="empty"', b"")))
    assert data == b""


FILE = part('name="file"; filename="a"', b"x")


@pytest.mark.parametrize("size", [1, 3, 65536])
@pytest.mark.parametrize(
    "body",
    [
        b"This is a multi-part message in MIME format.\r\n" + form(FILE),
        b"A preamble that says --frontier and\r\n--frontie\r\n" + form(FILE),
        b"\r\n" + form(FILE),
        form(FILE) + b"An epilogue.\r\n--frontier\r\n",
        form(FILE)[:-2],
        form(FILE).replace(b"--frontier\r\n", b"--frontier \t\r\n"),
        form(part('name="tags"', b"one"), FILE).replace(b"--frontier\r\n", b"--frontier  \r\n"),
        form(FILE).replace(b"--frontier--", b"--frontier-- \t"),
    ],
    ids=[
        "preamble",
        "like a boundary",
        "empty line",
        "epilogue",
        "no last line end",
        "padding",
        "paddings",
        "last",
    ],
)
async def test_what_stands_around_parts_is_left_out(body, size):
    upload, data = await read(body, size=size)
    assert (upload.file_name, data) == ("a", b"x")


@pytest.mark.parametrize("boundary", ["a b", "a:b?c=d/e", "'()+_,-./:=?", "x" * 70, "0"])
async def test_a_boundary_may_be_quoted(boundary):
    body = form(FILE).replace(b"frontier", boundary.encode())
    header = f'multipart/form-data; charset=utf-8; boundary="{boundary}"'
    upload = MultipartUpload(stream(body, 7), header, SETTINGS)
    await upload.open()
    assert b"".join([chunk async for chunk in upload.chunks()]) == b"x"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (form(FILE).replace(b"\r\n", b"\n"), "CR and LF"),
        (form(FILE).replace(b'"a"\r\n', b'"a"\n'), "can't be parsed"),
        (form(FILE).replace(b"form-data; ", b"form-data;\r\n "), "can't be parsed"),
        (form(FILE).replace(b"--frontier\r\n", b"--frontier x\r\n"), "no part named"),
        (b"--frontier" + b" " * 5000 + b"\r\n" + form(FILE), "too much before"),
        (form(b"--frontier\r\nContent-Type: text/plain\r\n\r\nx\r\n"), "Content-Disposition"),
        (form(part('name="photo"; filename="a.jpg"', b"x" * 100_000)), "must be named `file`, not `photo`"),
        (form(FILE, part('name="other"; filename="b.jpg"', b"x")), "must be named `file`, not `other`"),
        (form(part('name="photo"', b"x")), "no part named `file`"),
        (
            form(part('name="file"; filename="a"\r\nContent-Transfer-Encoding: base64', b"eA==")),
            "Content-Transfer-Encoding",
        ),
        (form(part('name="tags"\r\nContent-Type: text/plain; charset=iso-8859-1', b"\xe9"), FILE), "UTF-8"),
        (form(part('name="tags"\r\nContent-Type: text/plain; charset="', b"e"), FILE), "UTF-8"),
    ],
)
async def test_a_refusal_says_what_is_wrong(body, said):
    with pytest.raises(MalformedMultipart, match=said):
        await read(body)


async def test_fields_may_say_that_they_are_utf_8():
    tags = part('name="tags"\r\nContent-Type: text/plain; charset="UTF-8"', "räum".encode())
    upload, _ = await read(form(tags, FILE))
    assert upload.fields == {"tags": ["räum"]}


async def test_an_extended_name_is_ignored_because_forms_have_none():
    upload, _ = await read(form(part('name="file"; filename="a.txt"; filename*=UTF-8\'\'b.html', b"x")))
    assert upload.file_name == "a.txt"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--frontier--\r\n",
        form(part('name="other"', b"x")),
        form(part('name="file"', b"x"), part('name="file"', b"y")),
        part('name="file"; filename="a"', b"cut off"),
        part('name="file"; filename="a"', b"cut off") + b"--frontier\r\n",
        b"x" * 100_000 + form(part('name="file"', b"x")),
        b"\r\n" * 100_000 + form(part('name="file"', b"x")),
        form(part('name="file"', b"x")) + b"x" * 200_000,
        form(b"--frontier\r\nX-Long: " + b"x" * 1_000_000 + b"\r\n\r\nx\r\n"),
        form(b"--frontier\r\n\r\nx\r\n"),
        form(b"--frontier\r\nContent-Disposition: attachment; name=file\r\n\r\nx\r\n"),
        form(part('name="file"; name="other"', b"x")),
        form(part("filename=x", b"x")),
        form(part('name="tags"', b"\xff\xfe"), part('name="file"', b"x")),
        form(part('name="tags"', b"x" * 10_000), part('name="file"', b"x")),
        form(*[part('name="tags"', b"x")] * 10_000, part('name="file"', b"x")),
        form(b"--frontier\r\n" + b"X-A: 1\r\n" * 100 + b"\r\nx\r\n"),
        form(b"--frontier\r\nX-A: 1\r\nX-A: 1\r\n\r\nx\r\n"),
    ],
)
async def test_a_malformed_body_is_refused_quickly(body):
    started = time.process_time()
    with pytest.raises(MalformedMultipart):
        await read(body)
    assert time.process_time() - started < 0.2


@pytest.mark.parametrize(
    "header",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        f"multipart/form-data; boundary={'x' * 71}",
        'multipart/form-data; boundary="ends with "',
        'multipart/form-data; boundary="a\\\\b"',
        'multipart/form-data; boundary="a;b"',
        "multipart/form-data; boundary=a@b",
        "multipart/form-data; boundary=\u00e9",
        "multipart/form-data; boundary=a; boundary=b",
    ],
)
def test_a_header_without_a_sane_boundary_is_refused(header):
    with pytest.raises(MalformedMultipart):
        MultipartUpload(stream(b"", 1), header, SETTINGS)


async def test_the_number_of_parts_is_a_setting():
    body = form(part('name="tags"', b"x"), part('name="tags"', b"x"), part('name="file"', b"x"))
    await read(body, settings=FilesSettings(files_multipart_max_parts=3))
    with pytest.raises(MalformedMultipart, match="parts"):
        await read(body, settings=FilesSettings(files_multipart_max_parts=2))


async def test_the_size_of_headers_and_fields_are_settings():
    body = form(part('name="tags"', b"x" * 300), part(f'name="file"; filename="{"n" * 300}"', b"x"))
    await read(body)
    with pytest.raises(MalformedMultipart, match="too long"):
        await read(body, settings=FilesSettings(files_multipart_max_field_bytes=299))
    with pytest.raises(MalformedMultipart):
        await read(body, settings=FilesSettings(files_multipart_max_header_bytes=256))


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("say %22hi%22.txt", 'say "hi".txt'),
        ("two%0D%0Alines.txt", "twolines.txt"),
        ("100%25 %2e%41.txt", "100%25 %2e%41.txt"),
        (r"C:\x\y.txt", "y.txt"),
        (r"C:\\x\\y.txt", "y.txt"),
        (r"say \"hi\".txt", 'say "hi".txt'),
    ],
)
async def test_a_name_is_read_as_browsers_write_it(sent, kept):
    upload, _ = await read(form(part(f'name="file"; filename="{sent}"', b"x")))
    assert clean_name(upload.file_name) == kept
