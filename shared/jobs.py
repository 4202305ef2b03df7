"""How a domain declares its jobs, and what a job may do while it runs. The jobs domain implements it."""

from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf
from types import ModuleType
from typing import Any, Protocol, TypeVar
from uuid import UUID

from pydantic import BaseModel

from shared.events import Event, Resource
from shared.ids import new_id
from shared.recurrence import Cron, Every, Recurrence

T = TypeVar("T")
PayloadT = TypeVar("PayloadT", bound=BaseModel)
_DECLARATION = "__job__"


class JobContext(Protocol):
    """What a running job is given besides its payload."""

    @property
    def job_id(self) -> UUID:
        """Id of the job's row."""
        ...

    @property
    def attempt(self) -> int:
        """1 on the first attempt."""
        ...

    @property
    def max_attempts(self) -> int:
        """The last attempt's number."""
        ...

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked to stop. Ten seconds later the job is ended."""
        ...

    async def progress(self, current: int, total: int | None = None, message: str | None = None) -> None:
        """Say how far the job is; shown to clients within half a second."""
        ...

    async def finish(self, result: Mapping[str, Any] | None = None) -> None:
        """Mark the job succeeded in the open transaction, so that effect and success commit together.

        Raises:
            LeaseLost: another worker has the job now; let it pass, so that the transaction rolls back.
        """
        ...

    async def confirm(self) -> None:
        """Check, in the open transaction, that the job is still ours; raises `LeaseLost` like `finish`."""
        ...

    def provide(self, path: str, type_: type[T]) -> T:
        """Return a provider of the composed container, e.g. `provide("files.service", FileService)`."""
        ...


class LeaseLost(Exception):  # a fact, not a mistake
    """Another worker has this job now. Whatever the present one did in its transaction must roll back."""


class JobRefused(ValueError):
    """A declaration that this installation can't keep. The text says which job, and what to do."""


class PermanentError(Exception):
    """Raised by a job that no further attempt can save."""


class Snooze(Exception):  # a request, not a mistake
    """Raised by a job that wants to run later without having burnt an attempt (something outside is down)."""

    def __init__(self, delay: timedelta, reason: str) -> None:
        super().__init__(reason)
        self.delay = delay
        self.reason = reason


Handler = Callable[[Any, JobContext], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class JobDefinition:
    """A declared job. Times in seconds."""

    kind: str
    handler: Handler
    payload: type[BaseModel]
    queue: str
    max_attempts: int
    timeout: float
    on: type[Event] | None
    schedule: Recurrence | None
    version: int


class NoPayload(BaseModel):
    """The payload of a job that needs none (those that recur)."""


def _recurrence(every: timedelta | None, cron: str | None, timezone: str) -> Recurrence | None:
    if cron is not None:
        return Cron(cron, timezone)
    return None if every is None else Every(every)


def job(
    kind: str,
    *,
    on: type[Event] | None = None,
    every: timedelta | None = None,
    cron: str | None = None,
    timezone: str = "UTC",
    queue: str = "default",
    max_attempts: int = 5,
    timeout: float = 60,
    version: int = 1,
) -> Callable[[Handler], Handler]:
    """Declare a coroutine `(payload: SomeModel, context: JobContext)` in a domain's tasks.py as a job.

    Args:
        kind: stable name, `domain.verb`; rows in the database carry it.
        on: an event that causes one such job; the event is the payload.
        every: run it this often; the payload is `NoPayload`.
        cron: run it at these times, five fields as in crontab(5); the payload is `NoPayload`.
        timezone: the IANA name of the zone that `cron` is meant in.
        queue: `default`, `mail` or `files`: each has workers of its own.
        max_attempts: how often it is tried before it is failed.
        timeout: seconds that one attempt may take, TULOU_JOBS_LONGEST_TIMEOUT at most.
        version: of the payload's shape; a worker leaves jobs of a version it doesn't know to newer ones.

    Raises:
        ValueError: the schedule, `timeout` or `max_attempts` can't be meant.
    """
    if timeout <= 0 or max_attempts < 1:
        message = f"the job {kind} needs a timeout above 0 and max_attempts of 1 or more"
        raise ValueError(message)
    schedule = _recurrence(every, cron, timezone)

    def declare(handler: Handler) -> Handler:
        payload = next(iter(handler.__annotations__.values()))
        definition = JobDefinition(
            kind, handler, payload, queue, max_attempts, timeout, on, schedule, version
        )
        setattr(handler, _DECLARATION, definition)
        return handler

    return declare


def jobs_in(module: ModuleType) -> list[JobDefinition]:
    """Return the jobs that a tasks module declares."""
    return [getattr(value, _DECLARATION) for value in vars(module).values() if hasattr(value, _DECLARATION)]


class JobRegistry:
    """Every declared job of every domain, in every process, whichever routes or queues it serves.

    `longest_timeout`: seconds that an attempt may be allowed at most; workers kill what goes on long after it.
    """

    def __init__(self, *, longest_timeout: float = inf) -> None:
        self._longest_timeout = longest_timeout
        self._by_kind: dict[str, JobDefinition] = {}

    def add(self, definitions: Sequence[JobDefinition]) -> None:
        """Enter a domain's jobs.

        Raises:
            JobRefused: a kind is declared twice, or its timeout is past the longest that is allowed.
        """
        for definition in definitions:
            if definition.kind in self._by_kind:
                message = f"The job {definition.kind} is declared twice."
                raise JobRefused(message)
            if definition.timeout > self._longest_timeout:
                message = (
                    f"The job {definition.kind} has a timeout of {definition.timeout:g} s, and"
                    f" TULOU_JOBS_LONGEST_TIMEOUT allows {self._longest_timeout:g} s."
                    " Lower its timeout, or raise the setting."
                )
                raise JobRefused(message)
            self._by_kind[definition.kind] = definition

    def longest_timeout(self, queues: Collection[str]) -> float:
        """Return the seconds that an attempt of a job of these queues may take at most."""
        timeouts = [each.timeout for each in self._by_kind.values() if each.queue in queues]
        return max(timeouts, default=self._longest_timeout)

    def find(self, kind: str) -> JobDefinition | None:
        """Return a job's declaration, or None: a newer deployment may know it."""
        return self._by_kind.get(kind)

    def kinds(self) -> list[str]:
        """Return the kinds that are declared."""
        return sorted(self._by_kind)

    def caused_by(self, event: type[Event]) -> list[JobDefinition]:
        """Return the jobs that react to an event."""
        return [definition for definition in self._by_kind.values() if definition.on is event]

    def recurring(self) -> list[JobDefinition]:
        """Return the jobs that run by the clock."""
        return [definition for definition in self._by_kind.values() if definition.schedule is not None]

    def queues(self) -> list[str]:
        """Return the queues in use."""
        return sorted({definition.queue for definition in self._by_kind.values()})


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be written. `run_at` None means at once; at most one living job of a kind has a given `unique_key`."""

    kind: str
    queue: str
    payload: Mapping[str, Any]
    payload_version: int = 1
    max_attempts: int = 5
    priority: int = 100
    run_at: datetime | None = None
    unique_key: str | None = None
    concurrency_key: str | None = None
    owner_id: UUID | None = None
    resource: Resource | None = None
    id: UUID = field(default_factory=new_id)


class JobStore(Protocol):
    """Where accepted jobs are kept; the jobs domain implements it."""

    async def add(self, jobs: Sequence[NewJob]) -> list[UUID]:
        """Write rows in the open transaction; return their ids, or that of the living job with the same unique key."""
        ...


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How a job is queued, where it differs from the declaration."""

    run_at: datetime | None = None
    priority: int = 100
    unique_key: str | None = None
    concurrency_key: str | None = None
    owner_id: UUID | None = None
    resource: Resource | None = None


class Outbox:
    """Writes jobs in the transaction that causes them, so that a fact and its consequences commit together."""

    def __init__(self, registry: JobRegistry, store: JobStore) -> None:
        self._registry = registry
        self._store = store

    async def publish(self, event: Event) -> list[UUID]:
        """Write one job for each `@job(on=type(event))`; return their ids."""
        definitions = self._registry.caused_by(type(event))
        options = JobOptions(owner_id=event.owner_id, resource=event.resource)
        return await self._store.add([_new(definition, event, options) for definition in definitions])

    def does_cause(self, event: type[Event], kind: str) -> bool:
        """Return whether jobs of this kind react to the event."""
        return any(definition.kind == kind for definition in self._registry.caused_by(event))

    async def enqueue(self, kind: str, payload: BaseModel, options: JobOptions | None = None) -> UUID:
        """Write one job by its kind; return its id, or that of the living job with the same unique key.

        Raises:
            LookupError: no domain declares this kind.
        """
        definition = self._registry.find(kind)
        if definition is None:
            message = f"no domain declares the job {kind}"
            raise LookupError(message)
        (job_id,) = await self._store.add([_new(definition, payload, options or JobOptions())])
        return job_id


def _new(definition: JobDefinition, payload: BaseModel, options: JobOptions) -> NewJob:
    return NewJob(
        kind=definition.kind,
        queue=definition.queue,
        payload=payload.model_dump(mode="json"),
        payload_version=definition.version,
        max_attempts=definition.max_attempts,
        priority=options.priority,
        run_at=options.run_at,
        unique_key=options.unique_key,
        concurrency_key=options.concurrency_key,
        owner_id=options.owner_id,
        resource=options.resource,
    )
