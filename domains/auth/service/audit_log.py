"""The audit log (`shared.audit.AuditLog`): security events, which outlive the account."""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from domains.auth.models import SecurityEvent, SecurityEventKind
from domains.auth.repository.events import EventRepository
from domains.auth.schemas.client_info import ClientInfo
from shared.audit import Actor
from shared.clock import Clock
from shared.db.transaction import after_commit
from shared.logging import get_logger
from shared.trace import current_trace

logger = get_logger(__name__)


@dataclass(kw_only=True, eq=False)
class AuditLog:
    """Writes security events."""

    events: EventRepository
    clock: Clock
    recorded: Counter[str] = field(default_factory=Counter, init=False)
    """Number of events of each kind that this process has written."""

    async def record(
        self,
        event: SecurityEventKind | str,
        *,
        user_id: UUID | None,
        client_info: ClientInfo | None = None,
        session_id: UUID | None = None,
        **details: Any,
    ) -> None:
        """Write an event in the open transaction. One about a refusal needs a `separate` transaction."""
        await self.events.insert(
            SecurityEvent(
                event=str(event),
                user_id=user_id,
                session_id=session_id,
                address=client_info.address if client_info else None,
                agent=client_info.agent if client_info else None,
                request_id=current_trace().request_id,
                details=details,
                created_at=self.clock.now(),
            )
        )
        told: dict[str, Any] = {name: details[name] for name in ("by", "operator") if name in details}
        # Only after the commit: an event that is rolled back must not be logged.
        after_commit(
            partial(self._log_event, str(event), user_id, client_info.address if client_info else None, told)
        )

    async def note(self, act: str, actor: Actor, *, user_id: UUID | None = None, **details: Any) -> None:
        """Record an act of an administrator or an operator, in the open transaction."""
        client_info = ClientInfo.of(actor.address, actor.agent) if actor.address else None
        await self.record(act, user_id=user_id, client_info=client_info, **actor.details, **details)

    def _log_event(
        self, event: str, user_id: UUID | None, address: str | None, details: dict[str, Any]
    ) -> None:
        self.recorded[event] += 1
        logger.info(
            "security_event",
            kind=event,
            user_id=str(user_id) if user_id else None,
            address=address,
            **details,
        )
