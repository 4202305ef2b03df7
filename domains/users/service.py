"""What can be done with users."""

from datetime import datetime
from uuid import UUID

from domains.users.errors import UserNotFound
from domains.users.models import User
from domains.users.public import AccountDirectory, NewPerson, Person, key_of_address, normalised_address
from domains.users.repository import UserRepository
from domains.users.schemas import AdministeredUser, UserChange, UserFilter, UserRow
from domains.users.settings import UsersSettings
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.db.pagination import Page, PageRequest
from shared.errors import DatabaseBusy
from shared.mail_addresses import read_address
from shared.text import composed


class UserService:
    """What people see and change about themselves, and administrators about all."""

    def __init__(
        self,
        repository: UserRepository,
        *,
        transaction: TransactionFactory,
        clock: Clock,
        account_directory: AccountDirectory,
    ) -> None:
        self.repository = repository
        self.transaction = transaction
        self.clock = clock
        self.account_directory = account_directory

    async def read(self, user_id: UUID) -> UserRow:
        """Return a user.

        Raises:
            UserNotFound: there is none with this id.
        """
        found = await self.repository.find(user_id)
        if found is None:
            raise UserNotFound
        return found

    async def change(self, user_id: UUID, change: UserChange) -> UserRow:
        """Change the fields that were sent, and return the user.

        Raises:
            UserNotFound: there is none with this id.
        """
        sent = change.model_dump(exclude_unset=True)
        async with self.transaction():
            user = await self.repository.lock(user_id)
            if user is None:
                raise UserNotFound
            values = {"name": user.name, "locale": user.locale} | sent
            user.rename(**values, now=self.clock.now())
            return UserRow.model_validate(user)

    async def read_administered(self, user_id: UUID) -> AdministeredUser:
        """Return a user, with what is known of the account.

        Raises:
            UserNotFound: there is none with this id.
        """
        row = await self.read(user_id)
        return AdministeredUser.seen(row, (await self.account_directory.of_users([user_id])).get(user_id))

    async def page(self, request: PageRequest, filters: UserFilter) -> Page[AdministeredUser]:
        """Return a page of all users, with what is known of their accounts."""
        if filters.email is not None:
            filters = filters.model_copy(update={"email": key_of_address(filters.email)})
        if filters.q is not None:
            filters = filters.model_copy(update={"q": composed(filters.q)})
        page = await self.repository.page(request, filters)
        known = await self.account_directory.of_users([row.id for row in page.data])
        return page.map(lambda row: AdministeredUser.seen(row, known.get(row.id)))


class Directory:
    """What other domains ask about users (`UserDirectory`), and the erasure of one (`PersonalDataEraser`)."""

    def __init__(
        self,
        repository: UserRepository,
        *,
        transaction: TransactionFactory,
        clock: Clock,
        settings: UsersSettings,
    ) -> None:
        self.repository = repository
        self.transaction = transaction
        self.clock = clock
        self.settings = settings

    async def find(self, user_id: UUID) -> Person | None:
        """Return a user by id."""
        row = await self.repository.find(user_id)
        return None if row is None else self._person(row)

    async def exists(self, user_id: UUID, owner_id: UUID) -> bool:  # noqa: ARG002  # anybody may name anybody
        """Tell whether there is such a user."""
        return await self.repository.find(user_id) is not None

    async def find_by_address(self, text: str) -> Person | None:
        """Return the user who has this address, in whatever spelling; None too for what is no address."""
        try:
            normalised = normalised_address(text)
        except ValueError:
            return None
        row = await self.repository.find_by_address(normalised)
        return None if row is None else self._person(row)

    async def find_or_add(self, new: NewPerson) -> Person:
        """Return the user who has this address, or add the new one; the same statements in both cases."""
        user = _user(new, self.clock.now())
        async with self.transaction():
            await self.repository.add_unless_known(user)
            row = await self.repository.find_by_address(user.email_normalised)
        if row is None:
            raise DatabaseBusy  # the user was erased between the two statements; a retry adds the user
        return self._person(row)

    async def replace(self, user_id: UUID, *, by: UUID, name: str | None, locale: str | None) -> None:
        """Replace an unverified user by a verified one with the same address and a new id."""
        async with self.transaction():
            await self.repository.replace(user_id, by=by, name=name, locale=locale, now=self.clock.now())

    async def unverified(self, *, before: datetime, after: UUID, most: int) -> list[UUID]:
        """Return users whose address has been unverified since before a moment, in order of their ids."""
        return await self.repository.unverified(before, after, most)

    async def change_address(self, user_id: UUID, email: str) -> bool:
        """Give a user another address; return False if another user has it, or nobody has this id."""
        normalised, given = normalised_address(email), read_address(email).normalized
        async with self.transaction():
            other = await self.repository.find_by_address(normalised)
            if other is not None and other.id != user_id:
                return False
            user = await self.repository.lock(user_id)
            if user is None:
                return False
            user.set_address(given, normalised, self.clock.now())
            await self.repository.flush()
        return True

    async def lock(self, user_id: UUID) -> None:
        """Let nobody change this person before the open transaction ends. Raises PreconditionFailed."""
        async with self.transaction():
            await self.repository.lock(user_id)

    async def purge(self, owner_id: UUID) -> None:
        """Erase a user, whose address is then free again."""
        async with self.transaction():
            await self.repository.delete(owner_id)

    def _person(self, row: UserRow) -> Person:
        is_verified = row.email_verified_at is not None
        return Person(
            id=row.id,
            email=row.email,
            email_verified=is_verified,
            name=row.name if is_verified else None,
            locale=(row.locale if is_verified else None) or self.settings.users_default_locale,
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
