"""Read, change and list users, and the questions and commands of other domains about them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domains.users.models import User
from domains.users.public import AccountDirectory, NewPerson, Person, key_of_address, normalised_address
from domains.users.repository import UserRepository
from domains.users.schemas import AdministeredUser, UserBody, UserFilter, UserUpdate
from domains.users.settings import UsersSettings
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.db.pagination import Page, PageRequest
from shared.errors import DatabaseBusy
from shared.mail_addresses import read_address
from shared.text import composed


@dataclass(kw_only=True, eq=False)
class UserService:
    """What people see and change about themselves, and administrators see of all.

    Implements `UserDirectory` and `PersonalDataEraser`.
    """

    repository: UserRepository
    accounts: AccountDirectory
    settings: UsersSettings
    transaction: TransactionFactory
    clock: Clock

    async def page(self, request: PageRequest, filters: UserFilter) -> Page[AdministeredUser]:
        """Return a page of all users, with their accounts."""
        if filters.email is not None:
            filters = filters.model_copy(update={"email": key_of_address(filters.email)})
        if filters.q is not None:
            filters = filters.model_copy(update={"q": composed(filters.q)})
        page = await self.repository.page(request, filters)
        accounts = await self.accounts.of_users([user.id for user in page.data])
        return page.map(lambda user: AdministeredUser.of(user, accounts.get(user.id)))

    async def read(self, user_id: UUID) -> UserBody:
        """Return a user. Raises UserNotFound."""
        return await self.repository.read(user_id)

    async def read_administered(self, user_id: UUID) -> AdministeredUser:
        """Return a user with the account. Raises UserNotFound."""
        user = await self.read(user_id)
        return AdministeredUser.of(user, (await self.accounts.of_users([user_id])).get(user_id))

    async def change(self, user_id: UUID, change: UserUpdate) -> UserBody:
        """Change the fields that were sent. Raises UserNotFound."""
        async with self.transaction():
            user = await self.repository.lock(user_id)
            user.change(change.model_dump(exclude_unset=True), self.clock.now())
            await self.repository.save(user)
        return UserBody.model_validate(user)

    async def exists(self, user_id: UUID, owner_id: UUID) -> bool:  # noqa: ARG002  # any user may refer to a user
        """Tell whether there is such a user."""
        return await self.repository.find(user_id) is not None

    async def purge(self, owner_id: UUID) -> None:
        """Erase a user, whose address is then free again."""
        async with self.transaction():
            await self.repository.purge(owner_id)

    async def find(self, user_id: UUID) -> Person | None:
        """Return a user by id."""
        user = await self.repository.find(user_id)
        return None if user is None else self._person(user)

    async def find_by_address(self, text: str) -> Person | None:
        """Return the user with this address, in any spelling; None also if the text is not an address."""
        try:
            normalised = normalised_address(text)
        except ValueError:
            return None
        user = await self.repository.find_by_address(normalised)
        return None if user is None else self._person(user)

    async def find_or_add(self, new: NewPerson) -> Person:
        """Return the user who has this address, or add the new one; the same statements run in both cases."""
        user = _user(new, self.clock.now())
        async with self.transaction():
            await self.repository.insert_unless(user, "email_normalised")
            found = await self.repository.find_by_address(user.email_normalised)
        if found is None:
            raise DatabaseBusy  # the user was erased between the two statements; a retry adds the user
        return self._person(found)

    async def replace(self, user_id: UUID, *, by: UUID, name: str | None, locale: str | None) -> None:
        """Replace an unverified user by a verified one with the same address and a new id."""
        async with self.transaction():
            await self.repository.replace(user_id, by=by, name=name, locale=locale, now=self.clock.now())

    async def unverified(self, *, before: datetime, after: UUID, most: int) -> list[UUID]:
        """Return users whose address has been unverified since before a moment, in order of their ids."""
        return await self.repository.unverified(before, after, most)

    async def change_address(self, user_id: UUID, email: str) -> bool:
        """Give a user another address; return False if another user has it, or no user has this id."""
        normalised = normalised_address(email)
        values = {"email": read_address(email).normalized, "email_normalised": normalised}
        async with self.transaction():
            other = await self.repository.find_by_address(normalised)
            if other is not None and other.id != user_id:
                return False
            user = await self.repository.find_locked(user_id)
            if user is None:
                return False
            user.change(values, self.clock.now())
            await self.repository.save(user)
        return True

    async def lock(self, user_id: UUID) -> None:
        """Lock a user until the open transaction ends. Raises PreconditionFailed."""
        async with self.transaction():
            await self.repository.find_locked(user_id)

    def _person(self, user: UserBody) -> Person:
        return Person(
            id=user.id,
            email=user.email,
            email_verified=user.email_verified,
            name=user.name if user.email_verified else None,
            locale=(user.locale if user.email_verified else None) or self.settings.users_default_locale,
        )


def _user(new: NewPerson, now: datetime) -> User:
    return User(
        id=new.id,
        email=new.email,
        email_normalised=normalised_address(new.email),
        email_verified_at=now if new.email_verified else None,
        name=new.name,
        locale=new.locale,
        unverified_since=now,
        created_at=now,
        updated_at=now,
    )
