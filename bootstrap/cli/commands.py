"""Commands that need a composed container."""

import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import SecretStr
from rich.console import Console
from rich.table import Column, Table

from bootstrap.cli.terminal import command_settings, run
from bootstrap.cli.terminal import stop as end
from bootstrap.compose import compose, start, stop
from bootstrap.container import TulouContainer
from bootstrap.doctor.bundle import BundleRefused, collect, without_container, write
from bootstrap.doctor.database import explained
from bootstrap.doctor.runner import Finding, print_findings, run_checks, settings_findings
from bootstrap.runtime.current_operator import current_operator
from bootstrap.settings.loading import UnusableSettings
from bootstrap.settings.model import Settings, SettingsError
from bootstrap.settings.required import required_settings
from domains.auth.service.accounts import AccountService
from shared.errors import DatabaseBusy, DatabaseUnavailable
from shared.wiring import provided_by

HIDDEN = "********"
T = TypeVar("T")


def create_admin(settings: Settings, *, email: str, password: str) -> str:
    """Make an administrator; return a sentence about it."""

    async def create(container: TulouContainer) -> str:
        accounts = provided_by(container, "auth.accounts", AccountService)
        await accounts.create_admin(email, password, current_operator())
        return f"{email} is an administrator."

    return composed(settings, create)


def run_doctor(*, as_json: bool, bundle: Path | None = None, force: bool = False) -> int:
    """Print the state of all dependencies, the settings first; return the exit code.

    `bundle` is the path of an archive for support; `force` allows replacing an existing file.
    """
    if bundle is not None and bundle.exists() and not force:
        end(f"The file {bundle} exists. Name another one, or use --force.")
    try:
        settings = command_settings(required_settings("relay"))  # it checks what exists, in each container
    except UnusableSettings as error:
        findings = settings_findings(error)
        files = without_container(findings, os.environ)
    else:
        findings, files = composed(settings, partial(_diagnose, bundled=bundle is not None), role="relay")
    code = print_findings(findings, as_json=as_json)
    if bundle is not None:
        try:
            write(bundle, files, force=force)
        except BundleRefused as error:
            end(str(error))
        sys.stderr.write(f"Wrote {bundle}. Read it before you send it.\n")
    return code


async def _diagnose(container: TulouContainer, *, bundled: bool) -> tuple[list[Finding], dict[str, bytes]]:
    findings = await run_checks(container)
    return findings, await collect(container, findings, os.environ) if bundled else {}


def print_settings(settings: Settings) -> None:
    """Print every setting with its value and its source; a secret is never shown."""
    table = Table(Column("setting", no_wrap=True), "value", "source", "meaning", title="Settings")
    for name, field in sorted(type(settings).model_fields.items()):
        source = "set" if name in settings.model_fields_set else "default"
        table.add_row(f"TULOU_{name.upper()}", _shown(getattr(settings, name)), source, field.description)
    Console().print(table)


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return HIDDEN
    if isinstance(value, tuple):
        return ", ".join(_shown(member) for member in value)
    return "" if value is None else str(value)


def composed(
    settings: Settings,
    action: Callable[[TulouContainer], Awaitable[T]],
    *,
    role: Literal["relay", "command"] = "command",
) -> T:
    """Compose the program, let the action work with it, and close everything.

    Raises:
        SettingsError: the database can't be used; the message says where it is, why, and how to fix it.
    """

    async def work() -> T:
        container = compose(settings, role)
        await start(container)
        try:
            return await action(container)
        except DatabaseBusy:
            raise
        except DatabaseUnavailable as error:
            failure = await explained(settings, error)
            raise SettingsError(f"{failure} {failure.remedy}") from error
        finally:
            await stop(container)

    return run(work())
