"""Request and response bodies of files, and the filter of their list."""

from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from domains.files.schemas.fields import MAX_NAME, FileName, Metadata, Tags
from domains.files.schemas.rows import RenditionRow
from shared.schemas import RequestBody, ResponseBody, RevisedBody, UtcDatetime, unchanged


class FileCreate(BaseModel):
    """What a client says about a new file besides its bytes."""

    model_config = ConfigDict(frozen=True)

    tags: Tags = []
    metadata: Metadata = {}


class FileUpdate(RequestBody):
    """The fields of a file to change; an absent one stays."""

    name: FileName = unchanged(
        min_length=1, max_length=MAX_NAME, description="The name.", examples=["holiday.jpg"]
    )
    tags: Tags | None = unchanged(
        examples=[["2026", "family"]], description="Replaces all tags; null removes them."
    )
    metadata: Metadata | None = unchanged(
        examples=[{"album": "summer"}],
        description="Any JSON object of yours; replaces the present one, and null removes it.",
    )

    def values(self) -> dict[str, Any]:
        """Return the columns of the fields that were sent."""
        sent = self.model_dump(exclude_unset=True)
        if "tags" in sent:
            sent["tags"] = sent["tags"] or []
        if "metadata" in sent:
            sent["client_metadata"] = sent.pop("metadata") or {}
        return sent


class FileFilter(BaseModel):
    """Conditions of a list of files, all of which must hold."""

    type: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9.+-]{1,127}(/(\*|[A-Za-z0-9.+-]{1,127}))?$",
        description="A content type, or a kind of them.",
        examples=["image", "application/pdf"],
    )
    tag: str | None = Field(
        None, max_length=64, description="A tag that the files have.", examples=["family"]
    )
    q: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description='Words that name or text contain; `"exact phrase"`, `or` and `-without` are understood.',
        examples=["holiday -winter"],
    )
    deleted: bool = Field(default=False, description="List the trash instead.")


class RenditionBody(ResponseBody):
    """A rendition of a file."""

    name: str = Field(description="The name of the rendition.", examples=["thumb"])
    status: str = Field(description="`pending`, `ready` or `failed`.", examples=["ready"])
    content_type: str = Field(description="The content type.", examples=["image/webp"])
    size: int | None = Field(None, description="In bytes; null until it is ready.", examples=[5120])
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
        """Return the body of a stored rendition."""
        url = f"/v1/files/{row.file_id}/renditions/{row.name}"
        return cls(**row.model_dump(include=set(cls.model_fields) - {"url"}), url=url)


class FileJob(ResponseBody):
    """An unfinished job of a file."""

    id: UUID
    kind: str = Field(description="The kind of the job.", examples=["files.process"])
    status: str = Field(description="The state of the job.", examples=["queued"])
    url: str = Field(
        description="Follow it here, or its `/events`.",
        examples=["/v1/jobs/0199c3f0-7a6e-7bd4-8f2e-3d1c5a9b7e42"],
    )


class FileBody(RevisedBody):
    """A file."""

    id: UUID
    name: str = Field(description="The name.", examples=["holiday.jpg"])
    size: int = Field(description="In bytes.", examples=[52000])
    content_type: str | None = Field(description="Detected from the bytes.", examples=["image/jpeg"])
    declared_content_type: str | None = Field(
        description="The Content-Type that the client sent.", examples=["image/jpeg"]
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
    tags: list[str] = Field(description="The tags.", examples=[["2026", "family"]])
    facts: dict[str, Any] = Field(
        description="`width` and `height` of images, `pages` of documents, `charset` of text that is Unicode.",
        examples=[{"width": 1024, "height": 768}],
    )
    renditions: list[RenditionBody] = Field(description="The renditions.")
    jobs: list[FileJob] = Field(description="Unfinished jobs; empty if there are none.")
    created_at: UtcDatetime
    updated_at: UtcDatetime
    deleted_at: UtcDatetime | None = Field(description="When it was moved to the trash.")


class RenditionList(ResponseBody):
    """All renditions of one file."""

    data: list[RenditionBody] = Field(description="The renditions.")


class UsageBody(ResponseBody):
    """What a person stores and may store."""

    bytes: int = Field(description="Bytes of all files, the trash included.", examples=[52000])
    reserved_bytes: int = Field(description="Bytes reserved for unfinished uploads.", examples=[0])
    quota_bytes: int = Field(description="Bytes that you may store.", examples=[10_000_000_000])
    count: int = Field(description="Files, the trash included.", examples=[1])
    max_count: int = Field(description="Files that you may store.", examples=[100_000])
