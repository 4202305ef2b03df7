"""Rows of modes."""

from datetime import datetime

from domains.modes.public import Mode
from shared.schemas import Row


class ModeRow(Row):
    """A mode with the operators' message and the expected end."""

    mode: Mode = Mode.NORMAL
    message: str | None = None
    until: datetime | None = None
    changed_at: datetime | None = None
