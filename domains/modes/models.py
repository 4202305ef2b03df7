"""The table of the one mode that operators have set for all processes."""

from datetime import datetime

from sqlalchemy import CheckConstraint
from sqlmodel import Field

from domains.modes.public import Mode
from shared.db.models import Table, choice, timestamp


class StoredMode(Table, table=True):
    """The only row; without it the mode is normal. `until` is when operators expect to be done."""

    __tablename__ = "modes"
    __table_args__ = (CheckConstraint("single", name="single"), {"schema": "modes"})

    single: bool = Field(default=True, primary_key=True)
    mode: Mode = choice(Mode)
    message: str | None = None
    until: datetime | None = timestamp(nullable=True)
    changed_at: datetime = timestamp(default_now=True)
