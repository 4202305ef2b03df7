"""HTTP routes of limits of single people."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends

from domains.auth.errors import AccountNotFound
from domains.auth.schemas.limits import LimitOverrides, LimitsBody, LimitsUpdate
from domains.auth.service.allowances import AllowanceService
from shared.audit import ActingAdmin
from shared.http.authentication import Admin
from shared.http.routing import Router, problems
from shared.wiring import accessor

router = Router(prefix="/v1/users", tags=["users"])
Allowances = Annotated[AllowanceService, Depends(accessor("auth.allowances", AllowanceService))]


@router.get("/{user_id}/limits", summary="Read the limits of a user", responses=problems(AccountNotFound))
async def read_limits(user_id: UUID, _admin: Admin, allowances: Allowances) -> LimitsBody:
    """Return the limits of a person that override the settings. For administrators."""
    return LimitsBody.model_validate(await allowances.find(user_id))


@router.put("/{user_id}/limits", summary="Set the limits of a user", responses=problems(AccountNotFound))
async def set_limits(
    user_id: UUID, limits: LimitsUpdate, admin: ActingAdmin, allowances: Allowances
) -> LimitsBody:
    """Set limits of a person that override the settings. Where a limit is null or absent, the setting applies.

    The process that answers applies them at once, the others within 10 seconds (TULOU_AUTH_LIMITS_REFRESH). Files
    that are stored already stay, however low the limit. For administrators.
    """
    overrides = LimitOverrides(**limits.model_dump())
    return LimitsBody.model_validate(await allowances.replace(admin, user_id, overrides))


@router.delete(
    "/{user_id}/limits",
    summary="Reset the limits of a user",
    status_code=204,
    responses=problems(AccountNotFound),
)
async def reset_limits(user_id: UUID, admin: ActingAdmin, allowances: Allowances) -> None:
    """Remove the limits of a person, so that the settings apply. For administrators."""
    await allowances.replace(admin, user_id, LimitOverrides())
