"""How mails stand, for monitoring."""

from collections.abc import Sequence
from typing import Protocol

from domains.emails.public import EmailStatus
from domains.emails.schemas import StatusCount
from shared.measures import Measure


class EmailCounts(Protocol):
    """What this needs of the repository."""

    async def counts(self) -> list[StatusCount]:
        """Count the mails that somebody still has to do something about, and the last hour's others."""
        ...

    async def simplified(self) -> int:
        """Count the last hour's mails that go without their display name."""


class EmailMeasures:
    """Implements `shared.measures.Measures`."""

    fresh_for = 15.0

    def __init__(self, emails: EmailCounts) -> None:
        self._emails = emails

    async def measure(self) -> Sequence[Measure]:
        """Return how many mails there are by state."""
        counts = await self._emails.counts()
        found = {count.status: count.number for count in counts}
        oldest = {count.status: count.oldest for count in counts}
        open_ones = {EmailStatus(count.status) for count in counts if count.is_open} | _ALWAYS_SHOWN
        return [
            Measure(
                "tulou_mails",
                "Mails that wait, are being sent, or that somebody has to decide about.",
                [((status,), found.get(status, 0)) for status in sorted(open_ones)],
                ("state",),
            ),
            Measure(
                "tulou_mails_oldest_seconds",
                "Age of the oldest mail in a state that is not its last; 0 if there is none.",
                [((status,), oldest.get(status, 0)) for status in sorted(open_ones)],
                ("state",),
            ),
            Measure(
                "tulou_mails_last_hour",
                "Mails that were accepted within the last hour and are over, by how they ended.",
                [((count.status,), count.number) for count in counts if not count.is_open],
                ("state",),
            ),
            Measure(
                "tulou_mails_simplified_last_hour",
                "Mails accepted within the last hour that go without the display name that no header can hold.",
                [((), await self._emails.simplified())],
                (),
            ),
        ]


_ALWAYS_SHOWN = {
    EmailStatus.SCHEDULED,
    EmailStatus.QUEUED,
    EmailStatus.SENDING,
    EmailStatus.DEFERRED,
    EmailStatus.UNCERTAIN,
}
