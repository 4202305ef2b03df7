"""What the users domain depends on and what it exports."""

from dependency_injector import containers, providers

from domains.users.public import AccountDirectory
from domains.users.repository import UserRepository
from domains.users.router import router
from domains.users.service import Directory, UserService


class UsersContainer(containers.DeclarativeContainer):
    """Profiles of users: mail address, name and language."""

    core = providers.DependenciesContainer()
    accounts: providers.Dependency[AccountDirectory] = providers.Dependency()

    repository = providers.ThreadSafeSingleton(UserRepository, core.database)
    service = providers.ThreadSafeSingleton(
        UserService, repository, transaction=core.transaction, clock=core.clock, account_directory=accounts
    )
    directory = providers.ThreadSafeSingleton(
        Directory, repository, transaction=core.transaction, clock=core.clock, settings=core.settings
    )
    personal_data = directory
    lookup = directory
    routers = providers.Object([router])
    resource_urls = providers.Object({"user": "/v1/users/{id}"})
