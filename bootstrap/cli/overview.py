"""Everything about one person, from all domains."""

from typing import Any

from bootstrap.container import TulouContainer
from domains.auth.errors import AccountNotFound
from domains.auth.schemas.limits import LimitOverrides
from domains.auth.service.allowances import AllowanceService
from domains.auth.service.sessions import SessionService
from domains.emails.schemas import EmailFilter
from domains.emails.service.emails import EmailService
from domains.files.service.file_service import FileService
from domains.users.schemas import AdministeredUser
from shared.db.pagination import PageRequest
from shared.wiring import provided_by


async def facts_of(container: TulouContainer, person: AdministeredUser) -> dict[str, Any]:
    """Return the person, and how many sessions, files and mails they have; None of a limit: the setting's."""
    counting = PageRequest(limit=1, include_total=True)
    sessions = await provided_by(container, "auth.sessions", SessionService).page(person.id, counting)
    emails = provided_by(container, "emails.service", EmailService)
    mails = await emails.page(counting, EmailFilter(owner_id=person.id))
    usage = await provided_by(container, "files.service", FileService).usage(person.id)
    try:
        limits: LimitOverrides = await provided_by(container, "auth.allowances", AllowanceService).find(
            person.id
        )
    except AccountNotFound:  # a worker is erasing them
        limits = LimitOverrides()
    return {
        **person.model_dump(),
        "sessions": sessions.total,
        "mails": mails.total,
        "files": usage.count,
        "bytes": usage.bytes,
        "quota_bytes": usage.quota_bytes,
        "quota_files": usage.max_count,
        "own_limit_bytes": limits.max_bytes,
        "own_limit_files": limits.max_files,
        "own_limit_requests": limits.max_requests,
    }
