"""The table of users: who a person is. The domain `auth` knows whether and how they may sign in."""

from datetime import datetime

from sqlalchemy import Index, text

from shared.db.models import RevisedTable, timestamp


class User(RevisedTable, table=True):
    """A person. `unverified_since`: the registration, or the upgrade from a version that kept unverified accounts."""

    __tablename__ = "users"
    __table_args__ = (
        Index("uq_users_email_normalised", "email_normalised", unique=True),
        Index("ix_users_created_at", "created_at", "id"),
        Index("ix_users_email", "email", "id"),
        Index("ix_users_unverified", "id", postgresql_where=text("email_verified_at IS NULL")),
        {"schema": "users"},
    )

    email: str
    email_normalised: str
    email_verified_at: datetime | None = timestamp(nullable=True)
    name: str | None = None
    locale: str | None = None
    unverified_since: datetime = timestamp(default_now=True)
