"""The table of users: who a person is. Whether and how they may come in is another domain's business."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field

from shared.db.models import Table, timestamp
from shared.ids import new_id


class User(Table, table=True):
    """A person. `unverified_since`: the registration, or the upgrade from a version that kept unverified accounts."""

    __tablename__ = "users"
    __table_args__ = (
        Index("uq_users_email_normalised", "email_normalised", unique=True),
        Index("ix_users_created_at", "created_at", "id"),
        Index("ix_users_email", "email", "id"),
        Index("ix_users_unverified", "id", postgresql_where=text("email_verified_at IS NULL")),
        {"schema": "users"},
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    email: str
    email_normalised: str
    email_verified_at: datetime | None = timestamp(nullable=True)
    name: str | None = None
    locale: str | None = None
    unverified_since: datetime = timestamp(default_now=True)
    created_at: datetime = timestamp()
    updated_at: datetime = timestamp()
    revision: int = 1

    def set_address(self, email: str, normalised: str, now: datetime) -> None:
        """Replace the address; one that was verified stays verified."""
        self.email = email
        self.email_normalised = normalised
        self.updated_at = now
        self.revision += 1

    def rename(self, *, name: str | None, locale: str | None, now: datetime) -> None:
        """Replace what the person is called and reads."""
        self.name = name
        self.locale = locale
        self.updated_at = now
        self.revision += 1
