"""Metrics of mails."""

from collections.abc import Sequence
from dataclasses import dataclass

from domains.emails.public import EmailStatus
from domains.emails.repository import EmailRepository
from shared.measures import Measure

_ALWAYS_SHOWN = {
    EmailStatus.SCHEDULED,
    EmailStatus.QUEUED,
    EmailStatus.SENDING,
    EmailStatus.DEFERRED,
    EmailStatus.UNCERTAIN,
}


@dataclass(kw_only=True, eq=False)
class EmailMeasures:
    """Implements `Measures`."""

    repository: EmailRepository
    fresh_for: float = 15.0

    async def measure(self) -> Sequence[Measure]:
        """Return the number of mails by state."""
        counts = await self.repository.counts()
        found = {count.status: count.number for count in counts}
        oldest = {count.status: count.oldest for count in counts}
        open_ones = {EmailStatus(count.status) for count in counts if count.is_open} | _ALWAYS_SHOWN
        return [
            Measure(
                "tulou_mails",
                "Mails that wait, are being sent, or need an administrator's decision.",
                [((status,), found.get(status, 0)) for status in sorted(open_ones)],
                ("state",),
            ),
            Measure(
                "tulou_mails_oldest_seconds",
                "Age of the oldest mail in each state that is not final; 0 if there is none.",
                [((status,), oldest.get(status, 0)) for status in sorted(open_ones)],
                ("state",),
            ),
            Measure(
                "tulou_mails_last_hour",
                "Mails accepted within the last hour that are in a final state, by state.",
                [((count.status,), count.number) for count in counts if not count.is_open],
                ("state",),
            ),
            Measure(
                "tulou_mails_simplified_last_hour",
                "Mails accepted within the last hour that lack their display name, because no header can hold it.",
                [((), await self.repository.simplified())],
                (),
            ),
        ]
