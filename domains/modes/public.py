"""The public interface of the domain modes."""

from enum import StrEnum


class Mode(StrEnum):
    """What the program accepts: everything, reads, or nothing."""

    NORMAL = "normal"
    READ_ONLY = "read-only"
    """Requests that only read."""

    MAINTENANCE = "maintenance"
    """Probes alone."""

    @property
    def strictness(self) -> int:
        """Grows with what is refused."""
        return list(Mode).index(self)
