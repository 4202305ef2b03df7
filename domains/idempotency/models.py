"""The table of keys: requests in progress, and the responses of those that were answered."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, LargeBinary
from sqlmodel import Field

from shared.db.models import Table, jsonb, timestamp


def _bytes(*, nullable: bool = False, primary_key: bool = False) -> bytes:
    found: bytes = Field(default=None, sa_type=LargeBinary, nullable=nullable, primary_key=primary_key)
    return found


class Key(Table, table=True):
    """One key of one caller. While `status` is NULL, the attempt with this `token` works on the request.

    `identity` and `content` are keyed hashes: a request may hold a password. `streamed` is the digest of a file.
    """

    __tablename__ = "keys"
    __table_args__ = (
        Index("ix_keys_expires_at", "expires_at"),
        Index("ix_keys_owner_id", "owner_id"),
        {"schema": "idempotency"},
    )

    identity: bytes = _bytes(primary_key=True)
    owner_id: UUID | None = None
    content: bytes = _bytes()
    token: UUID
    lease_expires_at: datetime = timestamp()
    expires_at: datetime = timestamp()
    status: int | None = None
    headers: list[tuple[str, str]] | None = jsonb(nullable=True)
    body: bytes | None = _bytes(nullable=True)
    streamed: bytes | None = _bytes(nullable=True)
