"""The only SQL about users."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from domains.users.models import User
from domains.users.schemas import UserFilter, UserId, UserRow
from shared.db.conflicts import conflicts_translated
from shared.db.models import columns
from shared.db.pagination import Listing, Page, PageRequest
from shared.db.preconditions import check_precondition
from shared.db.query import Nothing, Statement
from shared.db.repository import Repository
from shared.db.transaction import current_session
from shared.errors import DatabaseBusy

_COLUMNS = columns(User, UserRow)
_BY_ID = Statement(select(*_COLUMNS).where(col(User.id) == bindparam("row_id")), UserRow)
_BY_ADDRESS = Statement(select(*_COLUMNS).where(col(User.email_normalised) == bindparam("address_")), UserRow)
_ADD = Statement(
    insert(User)
    .values(
        {name: bindparam(f"new_{name}") for name in User.model_fields if name != "revision"} | {"revision": 1}
    )
    .on_conflict_do_nothing(index_elements=["email_normalised"]),
    Nothing,
)
_REPLACE = Statement(
    update(User)
    .where(col(User.id) == bindparam("row_id"))
    .values(
        id=bindparam("new_id"),
        name=bindparam("new_name"),
        locale=bindparam("new_locale"),
        email_verified_at=bindparam("now"),
        created_at=bindparam("now"),
        updated_at=bindparam("now"),
        revision=1,
    ),
    Nothing,
)
_UNVERIFIED = Statement(
    select(col(User.id))
    .where(
        col(User.email_verified_at).is_(None),
        col(User.unverified_since) < bindparam("before"),
        col(User.id) > bindparam("after"),
    )
    .order_by(col(User.id))
    .limit(bindparam("most", type_=Integer())),
    UserId,
)
_DELETE = Statement(delete(User).where(col(User.id) == bindparam("row_id")), Nothing)
# Composed (NFC) like `q`: the versions before stored names as they were sent.
_SEARCHED = func.lower(func.normalize(col(User.email) + " " + func.coalesce(col(User.name), "")))
_LISTING = Listing(
    select(*_COLUMNS),
    UserRow,
    key=col(User.id),
    sorts={"created_at": col(User.created_at), "email": col(User.email)},
    may_be_stale=True,
    filters={
        "email": col(User.email_normalised) == bindparam("email"),
        "q": func.strpos(_SEARCHED, func.lower(bindparam("q"))) > 0,
        "verified": col(User.email_verified_at).is_not(None) == bindparam("verified"),
    },
)


class UserRepository(Repository):
    """Reads and writes users."""

    async def find(self, user_id: UUID) -> UserRow | None:
        """Return a user by id."""
        return await self.database.fetch_one(_BY_ID, row_id=user_id)

    async def find_by_address(self, normalised: str) -> UserRow | None:
        """Return the user with this normalised address."""
        return await self.database.fetch_one(_BY_ADDRESS, address_=normalised)

    async def add_unless_known(self, user: User) -> None:
        """Insert a user, or nothing if the address is taken."""
        await self.database.execute(_ADD, **_new_values(user))

    async def lock(self, user_id: UUID) -> User | None:
        """Return a user that the open transaction is going to change. Raises PreconditionFailed."""
        found = await (await current_session()).get(
            User, user_id, with_for_update=True, populate_existing=True
        )
        return None if found is None else check_precondition(found)

    async def flush(self) -> None:
        """Write what has changed of a locked user. Raises DatabaseBusy if somebody was given the address just now."""
        with conflicts_translated({"uq_users_email_normalised": DatabaseBusy}):
            await (await current_session()).flush()

    async def replace(
        self, user_id: UUID, *, by: UUID, name: str | None, locale: str | None, now: datetime
    ) -> None:
        """Turn the row of an unverified user into that of a new, verified user with the same address."""
        await self.database.execute(
            _REPLACE, row_id=user_id, new_id=by, new_name=name, new_locale=locale, now=now
        )

    async def unverified(self, before: datetime, after: UUID, most: int) -> list[UUID]:
        """Return up to `most` users with greater ids whose address has been unverified since before a moment."""
        found = await self.database.fetch_all(_UNVERIFIED, before=before, after=after, most=most)
        return [row.id for row in found]

    async def page(self, request: PageRequest, filters: UserFilter) -> Page[UserRow]:
        """Return a page of users; `filters.email` is a normalised address."""
        return await self.fetch_page(_LISTING, request, filters.model_dump())

    async def delete(self, user_id: UUID) -> None:
        """Delete a user, if there."""
        await self.database.execute(_DELETE, row_id=user_id)


def _new_values(user: User) -> dict[str, Any]:
    return {f"new_{name}": getattr(user, name) for name in User.model_fields if name != "revision"}
