"""What this process has seen of attacks on accounts, for monitoring."""

from collections.abc import Sequence
from dataclasses import dataclass

from domains.auth.models import AttemptKind, SecurityEventKind
from domains.auth.service.audit_log import AuditLog
from domains.auth.service.limits import Limits
from shared.measures import Measure


@dataclass(kw_only=True, eq=False)
class AuthMeasures:
    """Implements `shared.measures.Measures`."""

    fresh_for = 0.0
    audit_log: AuditLog
    limits: Limits

    async def measure(self) -> Sequence[Measure]:
        """Return the counters of this process."""
        kinds = sorted({*(kind.value for kind in SecurityEventKind), *self.audit_log.recorded})
        return [
            Measure(
                "tulou_security_events_total",
                "Security events that this process has written.",
                [((kind,), self.audit_log.recorded[kind]) for kind in kinds],
                ("event",),
                is_counter=True,
            ),
            Measure(
                "tulou_attempts_refused_total",
                "Attempts that this process has refused, because a limit on guessing or on mails was exceeded.",
                [((kind.value,), self.limits.refused[kind]) for kind in AttemptKind],
                ("limit",),
                is_counter=True,
            ),
        ]
