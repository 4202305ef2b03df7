"""SQL of mails."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    DateTime,
    Uuid,
    bindparam,
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
from domains.emails.schemas import EmailRead, NumberRow, StatusCount
from shared.db.models import columns
from shared.db.pagination import Listing, Page, PageRequest
from shared.db.preconditions import check_precondition
from shared.db.repository import Repository, unlocked
from shared.db.statement import Nothing, Statement
from shared.schemas import Row

_EMAIL = select(*columns(Email, EmailRead))
_READ = Statement(_EMAIL.where(col(Email.id) == bindparam("email_id")), EmailRead)
_LIST = Listing(
    _EMAIL,
    EmailRead,
    key=Email.id,
    sorts={"created_at": Email.created_at},
    may_be_stale=True,
    filters={
        "status": col(Email.status) == bindparam("status"),
        "recipient": func.lower(Email.recipient) == func.lower(bindparam("recipient")),
        "owner_id": col(Email.owner_id) == bindparam("owner_id"),
    },
)
_WAITS = or_(*(col(Email.status) == status for status in WAITING))
_CHANGED = {"updated_at": bindparam("now"), "revision": col(Email.revision) + 1}
_LOCK = Statement(
    select(*columns(Email, Email)).where(col(Email.id) == bindparam("email_id")).with_for_update(), Email
)
_MUTABLE = (
    "status",
    "phase",
    "frozen",
    "attempts",
    "last_reply",
    "error",
    "updated_at",
    "sent_at",
    "revision",
)
_SAVE = Statement(
    update(Email)
    .where(col(Email.id) == bindparam("email_id"))
    .values({name: bindparam(f"new_{name}", type_=getattr(Email, name).type) for name in _MUTABLE}),
    Nothing,
)
_ENTER = Statement(
    update(Email)
    .where(col(Email.id) == bindparam("email_id"), col(Email.status) == EmailStatus.SENDING)
    .values(phase=bindparam("entered"), **_CHANGED),
    Nothing,
)
# The application's role can't change attempts: bootstrap/migrations/grants.py.
_ERASE_REPLIES = Statement(
    select(func.emails.erase_replies(bindparam("owner", type_=Uuid())).label("number")),
    NumberRow,
    changes=True,
)
# Nor delete mails: the same.
_PRUNE = Statement(
    select(
        func.emails.prune_emails(
            bindparam("before", type_=DateTime(timezone=True)), bindparam("most", type_=BigInteger())
        ).label("number")
    ),
    NumberRow,
    changes=True,
)
_ERASE = Statement(
    update(Email)
    .where(col(Email.owner_id) == bindparam("owner"))
    .values(
        status=case(
            (or_(_WAITS, col(Email.status) == EmailStatus.UNCERTAIN), EmailStatus.CANCELLED),
            else_=col(Email.status),
        ),
        recipient=None,
        recipient_name=None,
        subject=None,
        frozen=None,
        last_reply=None,
        error=None,
        owner_id=None,
        **_CHANGED,
    ),
    Nothing,
)


class OwnedEmail(Row):
    """A mail and whose it is."""

    id: UUID
    owner_id: UUID | None


_UNTOUCHED = (_WAITS, col(Email.updated_at) < bindparam("untouched_since"))
_EXPIRE = Statement(
    update(Email)
    .where(
        unlocked(
            col(Email.id),
            *_UNTOUCHED,
            col(Email.created_at) < bindparam("created_before"),
            col(Email.phase) != Phase.DATA,
        )
    )
    .values(
        status=EmailStatus.FAILED,
        phase=Phase.IDLE,
        frozen=None,
        error=bindparam("problem", type_=JSONB),
        **_CHANGED,
    )
    .returning(*columns(Email, OwnedEmail)),
    OwnedEmail,
)
_MARK_UNCERTAIN = Statement(
    update(Email)
    .where(unlocked(col(Email.id), *_UNTOUCHED, col(Email.phase) == Phase.DATA))
    .values(status=EmailStatus.UNCERTAIN, **_CHANGED),
    Nothing,
)


_FORGET = Statement(
    update(Email)
    .where(
        or_(*(col(Email.status) == status for status in (EmailStatus.FAILED, EmailStatus.CANCELLED))),
        col(Email.created_at) < bindparam("created_before"),
        col(Email.frozen).is_not(None),
    )
    .values(frozen=None, **_CHANGED),
    Nothing,
)
STALLED_AT_ONCE = 500


class EmailId(Row):
    """A mail."""

    id: UUID


_STALLED = Statement(
    select(col(Email.id))
    .where(
        col(Email.status) == EmailStatus.SENDING,
        col(Email.updated_at) < bindparam("untouched_since"),
        col(Email.phase) != Phase.DATA,
    )
    .order_by(col(Email.created_at), col(Email.id))
    .limit(STALLED_AT_ONCE),
    EmailId,
)
_OPEN = or_(_WAITS, col(Email.status) == EmailStatus.UNCERTAIN)


def _counted(*, is_open: bool) -> Any:
    lately = col(Email.created_at) > func.now() - literal_column("interval '1 hour'")
    return (
        select(
            col(Email.status).label("status"),
            literal_column("true" if is_open else "false", Boolean).label("is_open"),
            func.count().label("number"),
            func.extract("epoch", func.now() - func.min(col(Email.created_at))).label("oldest"),
        )
        .where(*([_OPEN] if is_open else [~_OPEN, lately]))
        .group_by(col(Email.status))
    )


_SIMPLIFIED = Statement(
    select(func.count().label("number")).where(
        col(Email.simplified), col(Email.created_at) > func.now() - literal_column("interval '1 hour'")
    ),
    NumberRow,
)
_COUNTS = Statement(
    select(union_all(_counted(is_open=True), _counted(is_open=False)).subquery("counts")), StatusCount
)


class EmailRepository(Repository):
    """Mails and the sessions about them."""

    async def lock(self, email_id: UUID) -> Email | None:
        """Return the mail, locked until the open transaction ends. Raises PreconditionFailed."""
        found = await self.database.fetch_one(_LOCK, email_id=email_id)
        return None if found is None else check_precondition(found)

    async def save(self, email: Email) -> None:
        """Write what changed of a mail that is locked."""
        values = {f"new_{name}": getattr(email, name) for name in _MUTABLE}
        await self.database.execute(_SAVE, email_id=email.id, **values)

    async def enter(self, email_id: UUID, phase: Phase, *, now: datetime) -> bool:
        """Note that a phase begins; False when the mail is not being sent any more."""
        return await self.database.execute(_ENTER, email_id=email_id, entered=phase, now=now) == 1

    async def read(self, email_id: UUID) -> EmailRead | None:
        """Return what may be shown of a mail."""
        return await self.database.fetch_one(_READ, email_id=email_id)

    async def find(self, request: PageRequest, filters: Mapping[str, Any]) -> Page[EmailRead]:
        """Return one page of mails; filters: `status`, `recipient` (the whole address, in any case), `owner_id`."""
        return await self.fetch_page(_LIST, request, filters)

    async def counts(self) -> list[StatusCount]:
        """Count the mails that somebody still has to do something about, and the others accepted within an hour."""
        return await self.database.fetch_all(_COUNTS)

    async def simplified(self) -> int:
        """Count the mails accepted within an hour that go without their display name."""
        found = await self.database.fetch_one(_SIMPLIFIED)
        return 0 if found is None else found.number

    async def erase(self, owner_id: UUID, *, now: datetime) -> None:
        """Erase what is personal in this person's mails; those that were not sent yet never will be."""
        await self.database.execute(_ERASE_REPLIES, owner=owner_id)
        await self.database.execute(_ERASE, owner=owner_id, now=now)

    async def prune(self, before: datetime, *, most: int) -> int:
        """Delete up to `most` mails that ended before a moment; return how many.

        The database keeps those of the last 30 days in any case.
        """
        found = await self.database.fetch_one(_PRUNE, before=before, most=most)
        return 0 if found is None else found.number

    async def stalled(self, *, untouched_since: datetime) -> list[UUID]:
        """Return mails that are `sending` and that nobody has touched for so long, but for those that were cut off."""
        found = await self.database.fetch_all(_STALLED, untouched_since=untouched_since)
        return [email.id for email in found]

    async def expire(
        self,
        *,
        created_before: datetime,
        untouched_since: datetime,
        problem: Mapping[str, Any],
        now: datetime,
    ) -> list[OwnedEmail]:
        """Give up old mails that nobody works on; return them. Those that were cut off, of any age, become uncertain.

        A session takes minutes at the most: one that nobody touched for longer has ended, whatever its job says.
        The content of mails that ended but could have been sent later is erased at the same age.
        """
        await self.database.execute(_FORGET, created_before=created_before, now=now)
        untouched = {"untouched_since": untouched_since, "now": now}
        await self.database.execute(_MARK_UNCERTAIN, **untouched)
        return await self.database.fetch_all(
            _EXPIRE, **untouched, created_before=created_before, problem=dict(problem)
        )
