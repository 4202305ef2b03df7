"""How the users domain is put together: what it needs and what it offers."""

from dependency_injector import containers, providers

from domains.users.public import AccountDirectory
from domains.users.repository import UserRepository
from domains.users.router import router
from domains.users.service import Directory, UserService
from domains.users.settings import UsersSettings
from shared.clock import Clock
from shared.db.database import Database, TransactionFactory


class UsersContainer(containers.DeclarativeContainer):
    """Profiles of users: mail address, name and language."""

    settings = providers.Dependency(instance_of=UsersSettings)
    database = providers.Dependency(instance_of=Database)
    transaction: providers.Dependency[TransactionFactory] = providers.Dependency()
    clock = providers.Dependency(instance_of=Clock)
    accounts: providers.Dependency[AccountDirectory] = providers.Dependency()

    repository = providers.ThreadSafeSingleton(UserRepository, database)
    service = providers.ThreadSafeSingleton(
        UserService, repository, transaction=transaction, clock=clock, account_directory=accounts
    )
    directory = providers.ThreadSafeSingleton(
        Directory, repository, transaction=transaction, clock=clock, settings=settings
    )
    personal_data = directory
    lookup = directory
    routers = providers.Object([router])
    resource_urls = providers.Object({"user": "/v1/users/{id}"})
