"""What the commands do that talk to a composed program."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from domains.auth.service.accounts import AccountService
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.table import Table

from bootstrap.compose import compose, start, stop
from bootstrap.container import TulouContainer
from bootstrap.settings import Settings
from shared.wiring import provided_by

HIDDEN = "********"


def create_admin(settings: Settings, *, email: str, password: str) -> str:
    """Make an administrator; return a sentence about it."""

    async def create(container: TulouContainer) -> str:
        accounts = provided_by(container, "auth.accounts", AccountService)
        await accounts.create_admin(email, password)
        return f"{email} is an administrator."

    return _composed(settings, create)


def print_settings(settings: Settings) -> None:
    """Print every setting with its value and its source; a secret is never shown."""
    table = Table("setting", "value", "source", "meaning", title="Settings")
    for name, field in sorted(type(settings).model_fields.items()):
        source = "set" if name in settings.model_fields_set else "default"
        table.add_row(
            _environment_name(name, field), _shown(getattr(settings, name)), source, field.description
        )
    Console().print(table)


def _environment_name(name: str, field: FieldInfo) -> str:
    del field
    return f"TULOU_{name.upper()}"


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return HIDDEN
    if isinstance(value, tuple):
        return ", ".join(_shown(member) for member in value)
    return "" if value is None else str(value)


def _composed(settings: Settings, action: Callable[[TulouContainer], Awaitable[str]]) -> str:
    async def run() -> str:
        container = compose(settings, "command")
        await start(container)
        try:
            return await action(container)
        finally:
            await stop(container)

    return asyncio.run(run())
