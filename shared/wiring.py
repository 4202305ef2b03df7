"""Access to the container for routers and jobs: one typed accessor, no patched modules, no thread switch."""

from collections.abc import Awaitable, Callable
from functools import reduce
from typing import Any, TypeVar

from starlette.requests import HTTPConnection

from shared.http.api_state import api_state

T = TypeVar("T")


def provided_by(container: object, path: str, type_: type[T]) -> T:
    """Return the object of the provider at `path` (`files.service`). Raises TypeError if it is not a `type_`."""
    provider: Any = reduce(getattr, path.split("."), container)
    value = provider()
    if not isinstance(value, type_):
        message = f"{path} provides {type(value).__name__}, not {type_.__name__}"
        raise TypeError(message)
    return value


def accessor(path: str, type_: type[T]) -> Callable[[HTTPConnection], Awaitable[T]]:
    """Return a router's dependency: `Annotated[FileService, Depends(accessor("files.service", FileService))]`."""

    async def access(connection: HTTPConnection) -> T:
        return provided_by(api_state(connection).container, path, type_)

    return access
