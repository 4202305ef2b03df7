"""Actions of administrators and operators on others' data, and their record in the audit log."""

from dataclasses import dataclass
from typing import Annotated, Any, Protocol
from uuid import UUID

from fastapi import Depends, Request

from shared.http.authentication import Admin


@dataclass(frozen=True, slots=True)
class Actor:
    """An administrator who calls over HTTP (`user_id`), or an operator of the command line (`operator`: user@host)."""

    user_id: UUID | None = None
    operator: str | None = None
    address: str | None = None
    agent: str | None = None

    @property
    def details(self) -> dict[str, Any]:
        """Fields of the audit log that name the actor: `by` (an administrator's id) or `operator`."""
        if self.user_id is not None:
            return {"by": str(self.user_id)}
        return {"operator": self.operator or "unknown"}


class AuditLog(Protocol):
    """Records who did what. Lines are only added, never changed."""

    async def note(self, act: str, actor: Actor, *, user_id: UUID | None = None, **details: Any) -> None:
        """Write a line in the open transaction: `act` (`mail_resolved`), and the account that it affects."""
        ...


async def _acting(request: Request, admin: Admin) -> Actor:
    return Actor(
        user_id=admin.user_id,
        address=request.client.host if request.client else None,
        agent=request.headers.get("user-agent"),
    )


ActingAdmin = Annotated[Actor, Depends(_acting)]
"""An administrator, with the request data that the audit log keeps."""
