"""Domain selection: processes that serve the routes or run the jobs of some domains each.

Every process loads every domain's declarations all the same, so that no event loses a subscriber.
"""

from collections.abc import Sequence
from typing import Any

from bootstrap.compose import compose
from bootstrap.container import TulouContainer, exports, served_domains
from bootstrap.settings.model import Settings, SettingsError
from shared.jobs import JobType, handlers_in


def with_domains(settings: Settings, domains: str | None) -> Settings:
    """Return the settings of a process that serves these domains (names with commas between); None: as they are."""
    if domains is None:
        return settings
    return settings.model_copy(update={"domains": _names([domains])})


def kinds_of(container: TulouContainer) -> frozenset[str] | None:
    """Return the kinds of jobs that this process runs; None: all."""
    if not container.settings().domains:
        return None
    return frozenset(job.kind for job in _jobs_of(container))


def queues_of(settings: Settings, given: Sequence[str] | None) -> list[str]:
    """Return the queues that a worker works on: those that were given, or those that its domains' jobs use.

    Raises:
        SettingsError: it would have nothing to do.
    """
    requested = _names(given or ())
    if not settings.domains and not requested:
        raise SettingsError(
            "Say which queues: tulou worker --queue default, or which domains: --domains emails."
        )
    if not settings.domains:
        return list(requested)
    used = {job.queue.name for job in _jobs_of(compose(settings, "worker"))}
    idle = [queue for queue in requested if queue not in used]
    if idle or not used:
        raise SettingsError(
            f"No job of {', '.join(settings.domains)} uses {', '.join(idle) or 'any queue'};"
            f" they use {', '.join(sorted(used)) or 'none'}."
        )
    return list(requested) or sorted(used)


def _jobs_of(container: TulouContainer) -> list[JobType[Any]]:
    served, tasks = served_domains(container), exports(container, "tasks")
    return [handler.type for name in tasks if name in served for handler in handlers_in(tasks[name])]


def _names(given: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.strip() for text in given for name in text.split(",") if name.strip())
