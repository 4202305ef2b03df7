"""The public interface of the domain modes."""

from enum import StrEnum


class Mode(StrEnum):
    """The mode: accept all requests, only reads, or none."""

    NORMAL = "normal"
    READ_ONLY = "read-only"
    """Requests that only read."""

    MAINTENANCE = "maintenance"
    """Probes alone."""

    @property
    def strictness(self) -> int:
        """Order of the modes; a higher one refuses more."""
        return list(Mode).index(self)
