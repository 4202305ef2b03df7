"""Rows of modes."""

from datetime import datetime

from domains.modes.public import Mode
from shared.schemas import Row


class ModeRow(Row):
    """A mode, what operators say about it, and when they expect to be done."""

    mode: Mode = Mode.NORMAL
    message: str | None = None
    until: datetime | None = None
    changed_at: datetime | None = None
