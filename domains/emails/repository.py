"""The only SQL about mails."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    DateTime,
    Uuid,
    case,
    func,
    literal_column,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import col

from domains.emails.models import WAITING, Email, Phase
from domains.emails.public import EmailStatus
from domains.emails.schemas import EmailBody, EmailFilter, OwnedEmailRow, StatusCountRow
from shared.db.models import columns
from shared.db.pagination import Listing, Page, PageRequest
from shared.db.preconditions import check_precondition
from shared.db.query import param, query
from shared.db.repository import Repository, unlocked

_EMAIL = select(*columns(Email, EmailBody))
_BY_ID = col(Email.id) == param("email_id")
_LISTING = Listing(
    _EMAIL,
    EmailBody,
    key=Email.id,
    sorts={"created_at": Email.created_at},
    may_be_stale=True,
    filters={
        "status": col(Email.status) == param("status"),
        "recipient": func.lower(Email.recipient) == func.lower(param("recipient")),
        "owner_id": col(Email.owner_id) == param("owner_id"),
    },
)
_IS_WAITING = or_(*(col(Email.status) == status for status in WAITING))
_IS_OPEN = or_(_IS_WAITING, col(Email.status) == EmailStatus.UNCERTAIN)
_IS_IDLE = (_IS_WAITING, col(Email.updated_at) < param("untouched_since"))
_IS_RECENT = col(Email.created_at) > func.now() - literal_column("interval '1 hour'")
_CHANGED = {"updated_at": param("now"), "revision": col(Email.revision) + 1}
STALLED_AT_ONCE = 500


def _counted(*, is_open: bool) -> Any:
    return (
        select(
            col(Email.status).label("status"),
            literal_column("true" if is_open else "false", Boolean).label("is_open"),
            func.count().label("number"),
            func.extract("epoch", func.now() - func.min(col(Email.created_at))).label("oldest"),
        )
        .where(*([_IS_OPEN] if is_open else [~_IS_OPEN, _IS_RECENT]))
        .group_by(col(Email.status))
    )


class EmailRepository(Repository):
    """Reads and writes mails. The application's role can't change attempts nor delete mails: functions do."""

    @query(_EMAIL.where(_BY_ID))
    async def find(self, email_id: UUID) -> EmailBody | None:
        """Return what may be shown of a mail."""

    async def page(self, request: PageRequest, filters: EmailFilter) -> Page[EmailBody]:
        """Return a page of mails."""
        return await self.fetch_page(_LISTING, request, filters.model_dump())

    async def lock(self, email_id: UUID) -> Email | None:
        """Return a mail that the open transaction is going to change. Raises PreconditionFailed."""
        found = await self.lock_row(Email, email_id)
        return None if found is None else check_precondition(found)

    @query(
        update(Email)
        .where(_BY_ID, col(Email.status) == EmailStatus.SENDING)
        .values(phase=param("phase"), **_CHANGED)
    )
    async def enter(self, email_id: UUID, phase: Phase, now: datetime) -> bool:
        """Record that a phase begins; return False if the mail is not being sent any more."""

    @query(select(union_all(_counted(is_open=True), _counted(is_open=False)).subquery("counts")))
    async def counts(self) -> list[StatusCountRow]:
        """Count mails by state: all that are open, and those accepted within an hour that have ended."""

    @query(select(func.count().label("number")).where(col(Email.simplified), _IS_RECENT))
    async def simplified(self) -> int:
        """Count the mails accepted within an hour that lack their display name."""

    async def purge(self, owner_id: UUID, now: datetime) -> None:
        """Erase the personal data in a person's mails. Unsent mails are cancelled."""
        await self._erase_replies(owner_id)
        await self._erase(owner_id, now)

    @query(select(func.emails.erase_replies(param("owner_id", Uuid)).label("number")), changes=True)
    async def _erase_replies(self, owner_id: UUID) -> int:
        """Erase what mail servers replied; return of how many attempts."""

    @query(
        update(Email)
        .where(col(Email.owner_id) == param("owner_id", Uuid))
        .values(
            status=case((_IS_OPEN, EmailStatus.CANCELLED), else_=col(Email.status)),
            recipient=None,
            recipient_name=None,
            subject=None,
            frozen=None,
            last_reply=None,
            error=None,
            owner_id=None,
            **_CHANGED,
        )
    )
    async def _erase(self, owner_id: UUID, now: datetime) -> None:
        """Erase the rest."""

    @query(
        select(
            func.emails.prune_emails(
                param("before", DateTime(timezone=True)), param("most", BigInteger)
            ).label("number")
        ),
        changes=True,
    )
    async def prune(self, before: datetime, most: int) -> int:
        """Delete up to `most` mails that ended before a moment; return how many.

        The database keeps those of the last 30 days in any case.
        """

    @query(
        select(col(Email.id))
        .where(
            col(Email.status) == EmailStatus.SENDING,
            col(Email.updated_at) < param("untouched_since"),
            col(Email.phase) != Phase.DATA,
        )
        .order_by(col(Email.created_at), col(Email.id))
        .limit(STALLED_AT_ONCE)
    )
    async def stalled(self, untouched_since: datetime) -> list[UUID]:
        """Return the oldest mails whose attempt was interrupted before DATA."""

    async def expire(
        self,
        *,
        created_before: datetime,
        untouched_since: datetime,
        problem: Mapping[str, Any],
        now: datetime,
    ) -> list[OwnedEmailRow]:
        """Give up old mails that have no running job, and return them. Those interrupted during DATA become uncertain.

        An SMTP session takes minutes at most: a mail untouched since `untouched_since` has none, whatever its job says.
        The content of old mails that ended but could still be sent is erased.
        """
        await self._erase_contents(created_before, now)
        await self._mark_uncertain(untouched_since, now)
        return await self._expire(created_before, untouched_since, dict(problem), now)

    @query(
        update(Email)
        .where(
            or_(*(col(Email.status) == status for status in (EmailStatus.FAILED, EmailStatus.CANCELLED))),
            col(Email.created_at) < param("created_before"),
            col(Email.frozen).is_not(None),
        )
        .values(frozen=None, **_CHANGED)
    )
    async def _erase_contents(self, created_before: datetime, now: datetime) -> None:
        """Erase the contents of old mails that ended before they were sent."""

    @query(
        update(Email)
        .where(unlocked(col(Email.id), *_IS_IDLE, col(Email.phase) == Phase.DATA))
        .values(status=EmailStatus.UNCERTAIN, **_CHANGED)
    )
    async def _mark_uncertain(self, untouched_since: datetime, now: datetime) -> None:
        """Mark mails uncertain that were interrupted during DATA."""

    @query(
        update(Email)
        .where(
            unlocked(
                col(Email.id),
                *_IS_IDLE,
                col(Email.created_at) < param("created_before"),
                col(Email.phase) != Phase.DATA,
            )
        )
        .values(
            status=EmailStatus.FAILED,
            phase=Phase.IDLE,
            frozen=None,
            error=param("problem", JSONB),
            **_CHANGED,
        )
        .returning(*columns(Email, OwnedEmailRow))
    )
    async def _expire(
        self, created_before: datetime, untouched_since: datetime, problem: dict[str, Any], now: datetime
    ) -> list[OwnedEmailRow]:
        """Give up old mails that have no running job; return them."""
