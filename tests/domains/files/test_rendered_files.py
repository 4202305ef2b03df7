"""Responses about files that can't be opened, or only in part."""

import io

import pytest
from PIL import Image

from tests.domains.files.corpus import pdfs
from tests.domains.files.http_helpers import DATA, PHOTO, get
from tests.domains.files.test_budgets import png, tiff


@pytest.fixture
def worked(client, user, upload, work_off):
    """Upload bytes, have the work done, and return the file."""

    async def send(data: bytes) -> dict:
        file = await upload(user, data)
        await work_off()
        return (await get(client, user, f"/v1/files/{file['id']}")).json()

    return send


def jpeg() -> bytes:
    out = io.BytesIO()
    with Image.open(io.BytesIO(PHOTO)) as photo:
        photo.convert("RGB").save(out, "JPEG", quality=80)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "code", "facts"),
    [
        pytest.param(
            (DATA / "plain.heic").read_bytes(),
            "files.unsupported_codec",
            {"width": 640, "height": 480},
            id="HEIC",
        ),
        pytest.param(png(1, 39_999_999), "files.image_too_large", {}, id="a side too long"),
        pytest.param(tiff(65_000), "files.image_too_large", {}, id="too many pages"),
        pytest.param(pdfs.no_pages(), "files.no_pages", {}, id="no pages"),
    ],
)
async def test_a_file_that_can_not_be_shown_is_kept_and_says_why(client, user, worked, data, code, facts):
    file = await worked(data)
    assert (file["status"], file["facts"]) == ("ready", facts)
    assert {(row["status"], row["problem"]["code"]) for row in file["renditions"]} == {("failed", code)}
    content = await get(client, user, f"/v1/files/{file['id']}/content")
    assert content.content == data
    refused = await get(client, user, file["renditions"][0]["url"])
    assert (refused.status_code, refused.json()["code"]) == (409, "files.rendition_failed")
    assert refused.json()["problem"]["code"] == code


async def test_a_photo_without_its_end_marker_is_shown(worked):
    file = await worked(jpeg()[:-2])
    assert file["facts"] == {"width": 512, "height": 448}
    assert {row["status"] for row in file["renditions"]} == {"ready"}
    assert all("damaged" not in row["facts"] for row in file["renditions"])


async def test_half_a_photo_is_shown_and_called_damaged(worked):
    data = jpeg()
    file = await worked(data[: len(data) // 2])
    assert {(row["status"], row["facts"]["damaged"]) for row in file["renditions"]} == {("ready", True)}


async def test_words_in_a_form_and_at_a_hyphen_find_a_document(client, user, worked):
    form = await worked(pdfs.form(b"FILLED quagga", appearance=True))
    split = await worked(pdfs.written("an exam\u00ad", "ple of it"))
    for word, file in (("quagga", form), ("example", split)):
        found = (await client.get("/v1/files", params={"q": word}, headers=user.headers)).json()["data"]
        assert [each["id"] for each in found] == [file["id"]]
