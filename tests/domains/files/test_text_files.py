"""Text files are sent with their encoding, if it is known."""

import io

import pytest
from PIL import Image

LONG = b"only ASCII in the first part\n" * 3000


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        pytest.param("W\u00f6rter".encode("utf-16"), "text/plain; charset=utf-16", id="UTF-16"),
        pytest.param("W\u00f6rter".encode(), "text/plain; charset=utf-8", id="UTF-8"),
        pytest.param(LONG + "W\u00f6rter".encode(), "text/plain; charset=utf-8", id="long UTF-8"),
        pytest.param(
            LONG + "W\u00f6rter".encode("cp1252"), "text/plain", id="8 bits behind what was looked at"
        ),
        pytest.param(LONG + "\u00f6".encode()[:1], "text/plain", id="cut in a character"),
        pytest.param(b"price 12,00 \x80", "text/plain", id="8 bits"),
        pytest.param("a;b\n\u00e4;2\n".encode("cp1252"), "text/csv", id="8-bit table"),
        pytest.param(b'{"a": 1}', "application/json", id="JSON"),
        pytest.param(b"", "text/plain", id="empty"),
    ],
)
async def test_the_encoding_of_text_is_told_the_same_by_get_and_head(
    client, user, upload, data, content_type
):
    file = await upload(user, data)
    url = f"/v1/files/{file['id']}/content"
    got, asked = await client.get(url, headers=user.headers), await client.head(url, headers=user.headers)
    assert got.content == data
    assert got.headers["content-type"] == asked.headers["content-type"] == content_type
    charset = content_type.partition("charset=")[2] or None
    assert file["content_type"] == content_type.partition(";")[0]
    assert file["facts"].get("charset") == charset


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "JPEG", "GIF"])
async def test_an_uploaded_picture_is_never_shown_inside_a_page(client, user, upload, kind):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind)
    file = await upload(user, buffer.getvalue())
    assert file["content_type"] == f"image/{kind.lower()}"
    for method in ("GET", "HEAD"):
        url = f"/v1/files/{file['id']}/content?disposition=inline"
        answer = await client.request(method, url, headers=user.headers)
        assert answer.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "data",
    [
        "<html><script>alert(1)</script>".encode("utf-16"),
        b"\xef\xbb\xbf <!-- --><svg onload='alert(1)'/>",
        b"<g xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></g>",
        b"<script>alert('\xe9')</script>",
    ],
)
async def test_markup_is_refused_in_every_encoding(client, user, data):
    files = {"file": ("a.txt", data, "text/plain")}
    answer = await client.post("/v1/files", files=files, headers=user.headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "files.type_refused")
