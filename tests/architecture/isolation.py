"""A pytest plugin that runs a domain's tests without the other domains, except for their public APIs.

`ALONE=users python -m pytest --noconftest -p tests.architecture.isolation ...` composes that container with fakes
of whatever it declares as `Dependency`, makes everything that it offers, and keeps the tests that need no server.
"""

import ast
import inspect
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
from celery import Celery
from dependency_injector import containers, providers
from pydantic import BaseModel, SecretStr

from shared.clock import Clock
from shared.container import CoreContainer
from shared.db.database import Database
from shared.jobs import JobRegistry, JobStore, Outbox

NOWHERE = "127.0.0.1:9"
KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"
URL = "http://localhost:8000"


class ImportBoundary(MetaPathFinder):
    """Refuses every import beyond a public API, and bootstrap."""

    def __init__(self, domain: str) -> None:
        self._domain = domain

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        parts = fullname.split(".")
        if parts[0] == "bootstrap":
            self._refuse(fullname)
        if parts[0] == "domains" and len(parts) > 2 and parts[1] != self._domain and parts[2] != "public":
            self._refuse(fullname)
        return None

    def _refuse(self, name: str) -> None:
        raise ImportError(f"{self._domain} stands alone: {name} is not there")


def install_boundary(domain: str) -> None:
    """Install the boundary; nothing may have been imported past it."""
    assert not [name for name in sys.modules if name.startswith(("bootstrap", "domains."))]
    sys.meta_path.insert(0, ImportBoundary(domain))


def compose_isolated(domain: str) -> dict[str, Any]:
    """Compose the domain with fakes and return what its providers make, by name."""
    module = import_module(f"domains.{domain}.container")
    (container_class,) = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, containers.DeclarativeContainer)
        and value.__module__ == module.__name__
    ]
    container = container_class()
    container.core.override(fake_core(domain))
    needs = {
        name: part for name, part in container.providers.items() if isinstance(part, providers.Dependency)
    }
    for name, dependency in needs.items():
        dependency.override(fake(declared(container_class, name, dependency), name))
    return {
        name: part()
        for name, part in container.providers.items()
        if isinstance(part, providers.Provider) and name not in {*needs, "core", "__self__"}
    }


def fake_core(domain: str) -> CoreContainer:
    """Return the core with fakes; its settings are the domain's, and stand-ins by name for the program's own."""

    class Settings(settings_of(domain)):
        data_dir: Path = Path(tempfile.gettempdir())
        public_url: str = URL
        links_url: str = URL
        redis_url: SecretStr = SecretStr(f"redis://{NOWHERE}/0")
        plain_mail_keys: list[str] = [KEY]
        plain_token_keys: list[str] = [KEY]
        plain_signing_keys: list[str] = [KEY]
        plain_signing_keys_es256: list[str] = [KEY]

    core = CoreContainer(settings=Settings())
    for name, part in core.providers.items():
        if name != "settings":
            part.override(fake(declared(CoreContainer, name, part), name))
    return core


def settings_of(domain: str) -> Any:
    """Return a domain's class of settings; a domain without settings has an empty one."""
    if find_spec(f"domains.{domain}.settings") is None:
        return BaseModel
    return getattr(import_module(f"domains.{domain}.settings"), f"{domain.capitalize()}Settings")


def declared(container_class: type, name: str, dependency: providers.Dependency) -> Any:
    """Return the type that a container says it needs: `instance_of=`, or the annotation `Dependency[Mailer]`."""
    if dependency.instance_of is not object:
        return dependency.instance_of
    module = sys.modules[container_class.__module__]
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == name:
            # At run time `Dependency[Mailer]` is `Dependency`: only the text has both.
            text = ast.unparse(node.annotation)
            if text.endswith("]") and not text.endswith("[Any]"):
                return eval(text[text.index("[") + 1 : -1], vars(module))  # noqa: S307  # our own source
    message = f"{container_class.__name__}.{name} doesn't say what it needs: Dependency[ItsProtocol]"
    raise TypeError(message)


def fake(type_: Any, name: str) -> Any:
    """Return a stand-in of this type."""
    made = {
        Path: lambda: Path(tempfile.gettempdir()),
        Database: lambda: Database(f"postgresql://nobody:nothing@{NOWHERE}/none"),
        Clock: Clock,
        JobRegistry: JobRegistry,
        Outbox: lambda: Outbox(JobRegistry(), fake(JobStore, "store")),
        Celery: lambda: Celery(broker=f"redis://{NOWHERE}/0", set_as_current=False),
        str: lambda: URL if name.endswith("url") else KEY,
        list: lambda: [KEY],
        dict: dict,
        int: int,
    }
    if type_ in made:
        return made[type_]()
    if inspect.isclass(type_) and issubclass(type_, BaseModel):
        return type_()  # settings, as they are by default
    if getattr(type_, "_is_protocol", False):
        return _fake_of_protocol(type_)
    return lambda *_, **__: fake(get_args(type_)[-1], name) if get_args(type_) else None


def _fake_of_protocol(protocol: Any) -> Any:
    """Return an object with the methods of a Protocol, which take what the Protocol says and answer nothing."""

    def method(function: Any) -> Any:
        signature = inspect.signature(function)

        async def respond_async(*args: Any, **kwargs: Any) -> None:
            signature.bind(*args, **kwargs)

        def answer(*args: Any, **kwargs: Any) -> None:
            signature.bind(*args, **kwargs)

        return respond_async if inspect.iscoroutinefunction(function) else answer

    methods = {
        name: method(function)
        for name, function in inspect.getmembers(protocol, inspect.isfunction)
        if name == "__call__" or not name.startswith("_")
    }
    return type(f"Fake{protocol.__name__}", (), methods)()


def pytest_configure() -> None:
    compose_isolated(os.environ["ALONE"])


def pytest_collection_modifyitems(items: list[pytest.Item], config: pytest.Config) -> None:
    """Keep what needs no server: fixtures of tests/conftest.py are not there."""
    kept, left = [], []
    for item in items:
        info = getattr(item, "_fixtureinfo", None)
        missing = set(item.fixturenames) - set(info.name2fixturedefs) - {"request"} if info else set()
        (left if missing else kept).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


if "ALONE" in os.environ:
    install_boundary(os.environ["ALONE"])
