"""What the users domain depends on and what it exports."""

from dependency_injector import containers, providers

from domains.users.public import AccountDirectory
from domains.users.repository import UserRepository
from domains.users.router import router
from domains.users.service import UserService


class UsersContainer(containers.DeclarativeContainer):
    """Profiles of users: mail address, name and language."""

    core = providers.DependenciesContainer()
    accounts: providers.Dependency[AccountDirectory] = providers.Dependency()

    repository = providers.ThreadSafeSingleton(UserRepository, core.database)
    service = providers.ThreadSafeSingleton(
        UserService,
        repository=repository,
        accounts=accounts,
        settings=core.settings,
        transaction=core.transaction,
        clock=core.clock,
    )
    personal_data = service
    lookup = service
    routers = providers.Object([router])
    resource_urls = providers.Object({"user": "/v1/users/{id}"})
