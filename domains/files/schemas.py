"""What clients send and get, and the rows that the repository reads."""

import re
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.http.strict_json import texts_in
from shared.schemas import RequestBody, ResponseBody, RevisedBody, Row, UtcDatetime, unchanged
from shared.text import as_line, check_line, composed, composed_within, is_blank

MAX_NAME = 255
MAX_TAG = 64
UNNAMED = "unnamed"
_AT_THE_END = re.compile(r"(?<![.\s])[.\s]+\Z")  # a match begins only where a run does


def clean_name(name: str | None) -> str:
    """Return a name without folders and without what can't stand in a line, at most `MAX_NAME` long.

    Dots at its beginning are kept (`.gitignore`); dots and spaces at its end go, as Windows ignores them, so that
    `a.exe. ` would be `a.exe`. What is too long keeps its ending. It is only ever shown: no path is made of it, so
    names that some systems reserve (`con.txt`) are as good as others.
    """
    last = re.split(r"[/\\]", name or "")[-1]
    shown = _AT_THE_END.sub("", composed(as_line(last)).lstrip())
    if len(shown) > MAX_NAME:
        stem, dot, ending = shown.rpartition(".")
        kept = dot + ending if 0 < len(ending) <= 16 and stem else ""  # noqa: PLR2004  # longer is no ending
        shown = _AT_THE_END.sub("", shown[: MAX_NAME - len(kept)] + kept)
    return UNNAMED if is_blank(shown) else shown


def _check_name(name: str) -> str:
    check_line(name)
    if clean_name(name) != name:
        raise ValueError(
            f"must be a name without slashes, of at most {MAX_NAME} characters, that begins with no space and ends in"
            " neither space nor dot"
        )
    return name


def _check_tag(tag: str) -> str:
    if tag != tag.strip():
        raise ValueError("must not begin or end with a space")
    return check_line(tag)


def _each_once(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


def _without_nul(value: dict[str, Any]) -> dict[str, Any]:
    if any("\0" in text for text in texts_in(value)):
        raise ValueError("must not contain NUL, which the database can't keep")
    return value


FileName = Annotated[str, composed_within(MAX_NAME), AfterValidator(_check_name)]
Tag = Annotated[
    str, Field(min_length=1, max_length=MAX_TAG), composed_within(MAX_TAG), AfterValidator(_check_tag)
]
Tags = Annotated[list[Tag], AfterValidator(_each_once)]
Metadata = Annotated[dict[str, Any], AfterValidator(_without_nul)]


class Details(BaseModel):
    """What a client may say about a file besides its bytes."""

    model_config = ConfigDict(frozen=True)

    tags: Tags = []
    metadata: Metadata = {}


class FileChanges(RequestBody):
    """What to change of a file; what is absent stays."""

    name: FileName = unchanged(
        min_length=1, max_length=MAX_NAME, description="What it is called.", examples=["holiday.jpg"]
    )
    tags: Tags | None = unchanged(
        examples=[["2026", "family"]], description="Replaces all tags; null removes them."
    )
    metadata: Metadata | None = unchanged(
        examples=[{"album": "summer"}],
        description="Any JSON object of yours; replaces the present one, and null removes it.",
    )


class OwnedFileRow(Row):
    """A file and whose it is."""

    id: UUID
    owner_id: UUID


class LostRenditionRow(Row):
    """A rendition that has to be made again, and whose file it is of."""

    file_id: UUID
    owner_id: UUID
    name: str


class RenditionRow(Row):
    """A rendition as it is stored."""

    file_id: UUID
    name: str
    status: str
    content_type: str
    storage_key: str
    size: int | None
    sha256: str | None
    facts: dict[str, Any]
    problem: dict[str, Any] | None
    updated_at: datetime


class FileRow(Row):
    """A file as it is stored."""

    id: UUID
    owner_id: UUID
    name: str
    size: int
    content_type: str | None
    declared_content_type: str | None
    sha256: str | None
    status: str
    facts: dict[str, Any]
    client_metadata: dict[str, Any]
    tags: list[str]
    revision: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class ContentRow(Row):
    """What a download needs to know."""

    id: UUID
    name: str
    size: int
    content_type: str
    sha256: str
    status: str
    facts: dict[str, Any]
    created_at: datetime
    deleted_at: datetime | None
    storage_key: str

    @property
    def media_type(self) -> str:
        """The value of Content-Type: with the encoding if it is known."""
        charset = self.facts.get("charset")
        return self.content_type if charset is None else f"{self.content_type}; charset={charset}"


class UsageRow(Row):
    """What one person keeps."""

    bytes: int
    reserved: int
    count: int


class TotalsRow(UsageRow):
    """What everybody keeps together, and how many files are on their way."""

    uploading: int
    processing: int


class UploadRow(Row):
    """An upload that never ended."""

    id: UUID
    owner_id: UUID
    upload_key: str
    reserved: int


class PurgedRow(Row):
    """What a file that was just deleted for good had."""

    owner_id: UUID
    size: int
    reserved: int
    sha256: str | None
    upload_key: str | None


class BlobRow(Row):
    """Where bytes are, and how many files have them."""

    storage_key: str
    copies: int


class IdRow(Row):
    """An id."""

    id: UUID


class OwnerRow(Row):
    """Whose a file is."""

    owner_id: UUID


class ObjectRow(Row):
    """An object that must be in the store."""

    storage_key: str
    size: int
    sha256: str | None


class MayEraseRow(Row):
    """Whether objects may be deleted now."""

    may_erase: bool


class TextOwnerRow(Row):
    """A file whose text is to be indexed."""

    file_id: UUID
    owner_id: UUID


class OldTextRow(Row):
    """A piece of text."""

    body: str
    is_indexed: bool


class KeyRow(Row):
    """A storage key."""

    storage_key: str


class RenditionBody(ResponseBody):
    """Something made of a file."""

    name: str = Field(description="Which of the renditions it is.", examples=["thumb"])
    status: str = Field(description="`pending`, `ready` or `failed`.", examples=["ready"])
    content_type: str = Field(description="Its type.", examples=["image/webp"])
    size: int | None = Field(None, description="In bytes, once it is ready.", examples=[5120])
    facts: dict[str, Any] = Field(
        {},
        description="`width` and `height` of pictures, and `damaged` if some of their data could not be decoded;"
        " `characters` of text, and whether it was `truncated`.",
        examples=[{"width": 256, "height": 192}],
    )
    problem: dict[str, Any] | None = Field(
        None,
        description="Why it could not be made: `title`, `status`, `detail` and `code`.",
        examples=[
            {
                "title": "The input can't be accepted",
                "status": 422,
                "detail": "The image has more pixels than this server opens.",
                "code": "files.image_too_large",
            }
        ],
    )
    url: str = Field(
        description="Where to download it.",
        examples=["/v1/files/0199c3f0-7a6e-7bd4-8f2e-3d1c5a9b7e42/renditions/thumb"],
    )

    @classmethod
    def of(cls, row: RenditionRow) -> Self:
        """Make the body of a stored rendition."""
        url = f"/v1/files/{row.file_id}/renditions/{row.name}"
        return cls(**row.model_dump(include=set(cls.model_fields) - {"url"}), url=url)


class FileJob(ResponseBody):
    """Work that is under way for a file."""

    id: UUID
    kind: str = Field(description="What is done.", examples=["files.process"])
    status: str = Field(description="Where it stands.", examples=["queued"])
    url: str = Field(
        description="Follow it here, or its `/events`.",
        examples=["/v1/jobs/0199c3f0-7a6e-7bd4-8f2e-3d1c5a9b7e42"],
    )


class FileBody(RevisedBody):
    """A file."""

    id: UUID
    name: str = Field(description="What it is called.", examples=["holiday.jpg"])
    size: int = Field(description="In bytes.", examples=[52000])
    content_type: str | None = Field(description="Told from the bytes.", examples=["image/jpeg"])
    declared_content_type: str | None = Field(
        description="What the client said it was.", examples=["image/jpeg"]
    )
    sha256: str | None = Field(
        description="Digest of the bytes, hexadecimal.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    status: str = Field(
        description="`uploading`, `processing`, `ready`, `quarantined`, `failed` or `deleted`.",
        examples=["ready"],
    )
    metadata: dict[str, Any] = Field(
        description="The JSON object that you gave.", examples=[{"album": "summer"}]
    )
    tags: list[str] = Field(description="What to find it by.", examples=[["2026", "family"]])
    facts: dict[str, Any] = Field(
        description="`width` and `height` of images, `pages` of documents, `charset` of text that is Unicode.",
        examples=[{"width": 1024, "height": 768}],
    )
    renditions: list[RenditionBody] = Field(description="What is made of it.")
    jobs: list[FileJob] = Field(description="Work under way; empty when there is none.")
    created_at: UtcDatetime
    updated_at: UtcDatetime
    deleted_at: UtcDatetime | None = Field(description="When it went to the trash.")


class RenditionList(ResponseBody):
    """All renditions of one file."""

    data: list[RenditionBody] = Field(description="All of them.")


class UsageBody(ResponseBody):
    """What the caller keeps, and may keep."""

    bytes: int = Field(description="Bytes of all files, the trash included.", examples=[52000])
    reserved_bytes: int = Field(description="Bytes promised to uploads under way.", examples=[0])
    quota_bytes: int = Field(description="Bytes that you may keep.", examples=[10_000_000_000])
    count: int = Field(description="Files, the trash included.", examples=[1])
    max_count: int = Field(description="Files that you may keep.", examples=[100_000])
