"""The one source of the present time, so that tests can set it."""

from datetime import UTC, datetime


class Clock:
    """The current time. Leases and due times use the database's clock instead, because workers' clocks disagree."""

    def now(self) -> datetime:
        """Return the current time in UTC, timezone-aware."""
        return datetime.now(UTC)
