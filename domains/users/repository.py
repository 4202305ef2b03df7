"""SQL about users."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Integer, delete, func, select, update
from sqlmodel import col

from domains.users.errors import UserNotFound
from domains.users.models import User
from domains.users.schemas import UserBody
from shared.db.models import columns
from shared.db.query import param, query
from shared.db.single_table import CommonRepository, TableStatements
from shared.errors import DatabaseBusy

# Composed (NFC) like `q`: earlier versions stored names as they were sent.
_SEARCHED = func.lower(func.normalize(col(User.email) + " " + func.coalesce(col(User.name), "")))


class UserRepository(CommonRepository[User, UserBody]):
    """Reads and writes users. A conflict is an address that another user was given just now."""

    statements = TableStatements(
        User,
        UserBody,
        missing=UserNotFound,
        taken={"uq_users_email_normalised": DatabaseBusy},
        sorts=("created_at", "email"),
        filters={
            "email": col(User.email_normalised) == param("email"),
            "q": func.strpos(_SEARCHED, func.lower(param("q"))) > 0,
            "verified": col(User.email_verified_at).is_not(None) == param("verified"),
        },
        may_be_stale=True,
    )

    @query(select(*columns(User, UserBody)).where(col(User.email_normalised) == param("normalised")))
    async def find_by_address(self, normalised: str) -> UserBody | None:
        """Return the user with this normalised address."""

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
        .limit(param("most", Integer()))
    )
    async def unverified(self, before: datetime, after: UUID, most: int) -> list[UUID]:
        """Return up to `most` users with ids above `after` whose address has been unverified since `before`."""

    @query(delete(User).where(col(User.id) == param("user_id")))
    async def purge(self, user_id: UUID) -> None:
        """Delete a user, if there is one."""
