"""Rows that the repositories read."""

from datetime import datetime
from typing import Any
from uuid import UUID

from shared.schemas import Row


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
    """What a download needs."""

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
        """The value of Content-Type, with the encoding if it is known."""
        charset = self.facts.get("charset")
        return self.content_type if charset is None else f"{self.content_type}; charset={charset}"


class OwnedFileRow(Row):
    """A file and its owner."""

    id: UUID
    owner_id: UUID


class PurgedRow(Row):
    """What a deleted file occupied."""

    owner_id: UUID
    size: int
    reserved: int
    sha256: str | None
    upload_key: str | None


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


class LostRenditionRow(Row):
    """A rendition that has to be made again, and the owner of its file."""

    file_id: UUID
    owner_id: UUID
    name: str


class BlobRow(Row):
    """A blob's key, and how many files have its bytes."""

    storage_key: str
    copies: int


class ObjectRow(Row):
    """An object that must be in the store."""

    storage_key: str
    size: int
    sha256: str | None


class UsageRow(Row):
    """What one person stores."""

    bytes: int
    reserved: int
    count: int


class TotalsRow(UsageRow):
    """What all people store together, and how many files are uploading and processing."""

    uploading: int
    processing: int


class TextOwnerRow(Row):
    """A file with text, and its owner."""

    file_id: UUID
    owner_id: UUID


class OldTextRow(Row):
    """A piece of text; `is_indexed`: the present version wrote it."""

    body: str
    is_indexed: bool
