"""What each domain is: read from the composed container, the declarations and the public APIs."""

import ast
import inspect
import re
from dataclasses import dataclass
from typing import Any

from dependency_injector import providers
from fastapi.routing import APIRoute

from bootstrap.container import TulouContainer, domains_of, exports, purpose_of
from bootstrap.settings.model import Settings
from shared.db.models import metadata
from shared.jobs import JobType, handlers_in
from tools.scaffold.public_api import DOMAINS, PublicApi, public_api_of


@dataclass(frozen=True, slots=True)
class Summary:
    """One domain. `dependencies`: exports of other domains that it uses; `reacts_to`: their events; both by domain."""

    name: str
    purpose: str
    public_api: PublicApi
    dependencies: dict[str, list[str]]
    reacts_to: dict[str, list[str]]
    routes: list[str]
    jobs: list[str]
    tables: list[str]
    lines: int


def domain_map() -> list[Summary]:
    """Return a summary for each domain, lowest rank first. Connects to nothing."""
    container = TulouContainer(settings=Settings())
    routers, tasks = exports(container, "routers"), exports(container, "tasks")
    given = _dependencies_of(container)
    summaries = []
    for name, parts in domains_of(container).items():
        jobs = [handler.type for handler in handlers_in(tasks[name])] if name in tasks else []
        summaries.append(
            Summary(
                name=name,
                purpose=purpose_of(parts),
                public_api=public_api_of(name),
                dependencies=given[name],
                reacts_to=_reactions(name, jobs),
                routes=_routes_of(routers.get(name, [])),
                jobs=sorted(_label_of(job) for job in jobs),
                tables=sorted(table.name for table in metadata.tables.values() if table.schema == name),
                lines=sum(len(path.read_text().splitlines()) for path in (DOMAINS / name).rglob("*.py")),
            )
        )
    return summaries


def _dependencies_of(container: Any) -> dict[str, dict[str, list[str]]]:
    """Return what each domain is given of lower ones: `users=users.lookup` and `core.outbox`, by domain."""
    found: dict[str, dict[str, list[str]]] = {}
    entries = ast.parse(inspect.getsource(TulouContainer)).body[0]
    given = {
        ast.unparse(node.targets[0]): [ast.unparse(keyword.value) for keyword in node.value.keywords]
        for node in ast.walk(entries)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
    }
    for name, parts in domains_of(container).items():
        used = sorted(set(re.findall(r"\bcore\.(\w+)", inspect.getsource(parts.declarative_parent))))
        exported = [f"{lower}.{part}" for part in used for lower in found if _exports(container, lower, part)]
        found[name] = {}
        for lower, _, part in (word.partition(".") for word in [*exported, *given[name]]):
            if lower in found and lower != name:
                found[name].setdefault(lower, []).append(part)
    return found


def _exports(container: Any, domain: str, name: str) -> bool:
    part = getattr(container, domain).providers.get(name)
    return part is not None and not isinstance(part, providers.DependenciesContainer | providers.Dependency)


def _reactions(name: str, jobs: list[JobType[Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for job in jobs:
        origin = job.on.__module__.split(".")[1] if job.on else name
        if job.on and origin != name:
            found.setdefault(origin, []).append(job.on.__name__)
    return found


def _routes_of(routers: list[Any]) -> list[str]:
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    pairs = {(route.path, method) for route in routes for method in route.methods or () if method != "HEAD"}
    return [f"{method} {path}" for path, method in sorted(pairs)]


def _label_of(job: JobType[Any]) -> str:
    cause = f" on {job.on.__name__}" if job.on else " by the clock" if job.schedule else ""
    return f"{job.kind}{cause}"
