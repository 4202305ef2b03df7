"""Acts of administrators and operators on others' data, and their record in the audit log."""

from dataclasses import dataclass
from typing import Annotated, Any, Protocol
from uuid import UUID

from fastapi import Depends, Request

from shared.identity import Admin


@dataclass(frozen=True, slots=True)
class Actor:
    """An administrator who calls over HTTP (`user_id`), or an operator of the command line (`operator`: user@host)."""

    user_id: UUID | None = None
    operator: str | None = None
    address: str | None = None
    agent: str | None = None

    @property
    def details(self) -> dict[str, Any]:
        """What the audit log says of who it was: `by`, the id of an administrator, or `operator`."""
        if self.user_id is not None:
            return {"by": str(self.user_id)}
        return {"operator": self.operator or "unknown"}


class AuditLog(Protocol):
    """Keeps what was done, by whom. Lines are only ever added."""

    async def note(self, act: str, actor: Actor, *, user_id: UUID | None = None, **details: Any) -> None:
        """Write a line in the open transaction: `act` (`mail_resolved`), and whose account or data it was done to."""
        ...


async def _acting(request: Request, admin: Admin) -> Actor:
    return Actor(
        user_id=admin.user_id,
        address=request.client.host if request.client else None,
        agent=request.headers.get("user-agent"),
    )


ActingAdmin = Annotated[Actor, Depends(_acting)]
"""An administrator, with what the audit log keeps of a request."""
