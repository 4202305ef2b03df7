"""The one source of the present time, so that tests can hold it."""

from datetime import UTC, datetime


class Clock:
    """Tells the time. Leases and due times use the database's clock instead: workers' clocks disagree."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        return datetime.now(UTC)
