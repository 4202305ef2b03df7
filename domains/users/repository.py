"""The only SQL about users."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Integer, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from domains.users.models import User
from domains.users.schemas import UserFilter, UserRow
from shared.db.conflicts import conflicts_translated
from shared.db.models import columns
from shared.db.pagination import Listing, Page, PageRequest
from shared.db.preconditions import check_precondition
from shared.db.query import param, query
from shared.db.repository import Repository
from shared.db.transaction import current_session
from shared.errors import DatabaseBusy

_USER = select(*columns(User, UserRow))
# Composed (NFC) like `q`: the versions before stored names as they were sent.
_SEARCHED = func.lower(func.normalize(col(User.email) + " " + func.coalesce(col(User.name), "")))
_LISTING = Listing(
    _USER,
    UserRow,
    key=col(User.id),
    sorts={"created_at": col(User.created_at), "email": col(User.email)},
    may_be_stale=True,
    filters={
        "email": col(User.email_normalised) == param("email"),
        "q": func.strpos(_SEARCHED, func.lower(param("q"))) > 0,
        "verified": col(User.email_verified_at).is_not(None) == param("verified"),
    },
)


class UserRepository(Repository):
    """Reads and writes users."""

    @query(_USER.where(col(User.id) == param("user_id")))
    async def find(self, user_id: UUID) -> UserRow | None:
        """Return a user by id."""

    @query(_USER.where(col(User.email_normalised) == param("normalised")))
    async def find_by_address(self, normalised: str) -> UserRow | None:
        """Return the user with this normalised address."""

    @query(
        insert(User)
        .values({name: param(name) for name in User.model_fields if name != "revision"} | {"revision": 1})
        .on_conflict_do_nothing(index_elements=["email_normalised"])
    )
    async def _add(
        self,
        *,
        id: UUID,  # noqa: A002  # named as the column
        email: str,
        email_normalised: str,
        email_verified_at: datetime | None,
        name: str | None,
        locale: str | None,
        unverified_since: datetime,
        created_at: datetime,
        updated_at: datetime,
    ) -> None:
        """Insert a user, or nothing if the address is taken."""

    async def add_unless_known(self, user: User) -> None:
        """Insert a user, or nothing if the address is taken."""
        await self._add(**user.model_dump(exclude={"revision"}))

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

    @query(
        update(User)
        .where(col(User.id) == param("user_id"))
        .values(
            id=param("by"),
            name=param("name"),
            locale=param("locale"),
            email_verified_at=param("now"),
            created_at=param("now"),
            updated_at=param("now"),
            revision=1,
        )
    )
    async def replace(
        self, user_id: UUID, *, by: UUID, name: str | None, locale: str | None, now: datetime
    ) -> None:
        """Turn the row of an unverified user into that of a new, verified user with the same address."""

    @query(
        select(col(User.id))
        .where(
            col(User.email_verified_at).is_(None),
            col(User.unverified_since) < param("before"),
            col(User.id) > param("after"),
        )
        .order_by(col(User.id))
        .limit(param("most", Integer))
    )
    async def unverified(self, before: datetime, after: UUID, most: int) -> list[UUID]:
        """Return up to `most` users with greater ids whose address has been unverified since before a moment."""

    async def page(self, request: PageRequest, filters: UserFilter) -> Page[UserRow]:
        """Return a page of users; `filters.email` is a normalised address."""
        return await self.fetch_page(_LISTING, request, filters.model_dump())

    @query(delete(User).where(col(User.id) == param("user_id")))
    async def delete(self, user_id: UUID) -> None:
        """Delete a user, if there."""
