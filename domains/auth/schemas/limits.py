"""Counters of attempts, and the limits of a person that override the settings."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from shared.field_types import INTEGRAL
from shared.schemas import RequestBody, RevisedBody, Row, UtcDatetime


class LimitOverrides(Row):
    """Limits of a person that override the settings; None: the setting's."""

    max_bytes: int | None = None
    max_files: int | None = None
    max_requests: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether all limits are the settings'."""
        return self.max_bytes is None and self.max_files is None and self.max_requests is None


class AllowanceRow(LimitOverrides):
    """The limits of one person, with the revision of the row."""

    user_id: UUID
    revision: int = 0


class AllowancesState(Row):
    """Number of people with limits, sum of the revisions, and time of the last change: enough to notice any change."""

    number: int
    revisions: int
    latest: UtcDatetime | None


class AttemptCounter(Row):
    """A counter of attempts of a person in its present window, and how many are allowed.

    `network`: where they were made, if only those are counted.
    """

    kind: str
    network: str | None
    count: int
    most: int
    until: UtcDatetime


class AttemptsRow(Row):
    """A counter after it was raised."""

    count: int
    expires_at: UtcDatetime


_MaxBytes = Annotated[
    Annotated[int, Field(ge=0, le=2**53 - 1), INTEGRAL] | None,
    Field(
        description="Bytes that the person may store, the trash included; null: the setting applies.",
        examples=[50_000_000_000],
    ),
]
_MaxFiles = Annotated[
    Annotated[int, Field(ge=0, le=1 << 40), INTEGRAL] | None,
    Field(
        description="Files that the person may store, the trash included; null: the setting applies.",
        examples=[500_000],
    ),
]
_MaxRequests = Annotated[
    Annotated[int, Field(ge=1, le=1_000_000), INTEGRAL] | None,
    Field(
        description="Requests that the person may send in a minute; null: the setting applies.",
        examples=[6000],
    ),
]


class LimitsUpdate(RequestBody):
    """The limits that a person has from now on. Those that are null or absent are the settings'."""

    max_bytes: _MaxBytes = None
    max_files: _MaxFiles = None
    max_requests: _MaxRequests = None


class LimitsBody(RevisedBody):
    """The limits that a person has instead of the settings'."""

    max_bytes: _MaxBytes
    max_files: _MaxFiles
    max_requests: _MaxRequests
