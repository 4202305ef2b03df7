"""Tables of files, their bytes, renditions and texts, and of usage."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, Computed, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR
from sqlmodel import Field

from shared.db.models import Table, choice, is_same, jsonb, timestamp
from shared.ids import new_id


class FileStatus(StrEnum):
    """The state of a file. The API also shows `deleted`, for a file with `deleted_at`."""

    UPLOADING = "uploading"
    PROCESSING = "processing"
    READY = "ready"
    QUARANTINED = "quarantined"
    FAILED = "failed"


class RenditionStatus(StrEnum):
    """The state of a rendition."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


def _big(default: int = 0) -> Any:
    """Return a column for a number of bytes."""
    return Field(default=default, sa_type=BigInteger, nullable=False)


class Blob(Table, table=True):
    """Bytes that are stored once, however many files have them. Uploads and deletions lock its row."""

    __tablename__ = "blobs"
    __table_args__ = (CheckConstraint("copies >= 0", name="copies_not_negative"), {"schema": "files"})

    sha256: str = Field(primary_key=True, max_length=64)
    size: int = _big()
    storage_key: str = Field(unique=True)
    copies: int = 1
    created_at: datetime = timestamp(default_now=True)


class File(Table, table=True):
    """A file of one person. `upload_key` and `reserved` are used during the upload only."""

    __tablename__ = "files"
    __table_args__ = (
        CheckConstraint("(status = 'uploading') = (upload_key IS NOT NULL)", name="uploading_has_key"),
        CheckConstraint("(status = 'uploading') = (sha256 IS NULL)", name="stored_has_digest"),
        Index("ix_files_owner", "owner_id", "created_at", "id"),
        Index(
            "ix_files_unsettled",
            "status",
            "updated_at",
            postgresql_where=text("status IN ('uploading', 'processing')"),
        ),
        Index("ix_files_trash", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
        {"schema": "files"},
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    owner_id: UUID
    name: str
    size: int = _big()
    content_type: str | None = None
    declared_content_type: str | None = None
    sha256: str | None = Field(default=None, foreign_key="files.blobs.sha256", index=True)
    upload_key: str | None = None
    reserved: int = _big()
    status: FileStatus = choice(FileStatus, FileStatus.UPLOADING)
    facts: dict[str, Any] = jsonb()
    client_metadata: dict[str, Any] = jsonb()
    tags: list[str] = Field(default_factory=list, sa_type=ARRAY(Text), nullable=False)
    revision: int = 1
    created_at: datetime = timestamp(default_now=True)
    updated_at: datetime = timestamp(default_now=True)
    deleted_at: datetime | None = timestamp(nullable=True)

    def change(self, values: Mapping[str, Any], now: datetime) -> None:
        """Take over new values of columns, if they differ."""
        changes = {name: value for name, value in values.items() if not is_same(getattr(self, name), value)}
        if changes:
            self.sqlmodel_update(changes)
            self.updated_at = now
            self.revision += 1

    def trash(self, now: datetime) -> None:
        """Move it to the trash, if it is not there."""
        if self.deleted_at is None:
            self.change({"deleted_at": now}, now)

    def restore(self, now: datetime) -> None:
        """Move it out of the trash, if it is there."""
        self.change({"deleted_at": None}, now)


class Rendition(Table, table=True):
    """A rendition of a file, with its own state."""

    __tablename__ = "renditions"
    __table_args__ = ({"schema": "files"},)

    file_id: UUID = Field(primary_key=True, foreign_key="files.files.id", ondelete="CASCADE")
    name: str = Field(primary_key=True)
    status: RenditionStatus = choice(RenditionStatus, RenditionStatus.PENDING)
    content_type: str
    storage_key: str
    size: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
    sha256: str | None = None
    facts: dict[str, Any] = jsonb()
    problem: dict[str, Any] | None = jsonb(nullable=True)
    updated_at: datetime = timestamp(default_now=True)


class FileText(Table, table=True):
    """A piece of the text that a search looks through: the file's name (`part` 0) or a part of its content.

    In pieces, because PostgreSQL limits the size of a search vector (`shared/db/fulltext.py` makes `terms`). If `terms`
    is null, an older version wrote the piece: a search uses `search`, until the job `files.index` replaces the piece.
    """

    __tablename__ = "texts"
    __table_args__ = (
        Index("ix_texts_search", "search", postgresql_using="gin"),
        Index("ix_texts_owner", "owner_id"),
        Index("ix_texts_terms", "terms", postgresql_using="gin"),
        Index("ix_texts_not_indexed", "owner_id", postgresql_where=text("terms IS NULL")),
        {"schema": "files"},
    )

    file_id: UUID = Field(primary_key=True, foreign_key="files.files.id", ondelete="CASCADE")
    part: int = Field(primary_key=True)
    owner_id: UUID
    name: str
    body: str = ""
    terms: Any = Field(default=None, sa_type=TSVECTOR, nullable=True)
    search: Any = Field(
        default=None,
        sa_column=Column(
            TSVECTOR, Computed("to_tsvector('simple'::regconfig, name || ' ' || body)", persisted=True)
        ),
    )


class Usage(Table, table=True):
    """What one person stores. `reserved`: bytes of unfinished uploads; `count`: files, unfinished uploads included."""

    __tablename__ = "usage"
    __table_args__ = (
        CheckConstraint("bytes >= 0", name="bytes_not_negative"),
        CheckConstraint("reserved >= 0", name="reserved_not_negative"),
        CheckConstraint("count >= 0", name="count_not_negative"),
        {"schema": "files"},
    )

    owner_id: UUID = Field(primary_key=True)
    bytes: int = _big()
    reserved: int = _big()
    count: int = 0
