"""What must hold the lock of its account."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, TypeVar, cast

from shared.db.transaction import require_locked_account

MethodT = TypeVar("MethodT", bound=Callable[..., Coroutine[Any, Any, Any]])


def requires_locked_account(method: MethodT) -> MethodT:
    """Make a method of a repository raise TransactionMisusedError unless its transaction has locked an account."""

    @wraps(method)
    async def run(*args: Any, **kwargs: Any) -> Any:
        require_locked_account()
        return await method(*args, **kwargs)

    return cast("MethodT", run)
