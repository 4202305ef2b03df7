"""Declaration of jobs, and the context of a running job. The jobs domain implements it."""

from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf
from types import ModuleType
from typing import Any, Generic, Protocol, TypedDict, TypeVar, Unpack, cast, overload
from uuid import UUID

from pydantic import BaseModel

from shared.events import Event, Resource
from shared.ids import new_id
from shared.queues import DEFAULT, Queue
from shared.recurrence import Cron, Every, Recurrence

T = TypeVar("T")
PayloadT = TypeVar("PayloadT", bound=BaseModel)


class JobContext(Protocol):
    """The context of a running job."""

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
        """Number of the last attempt."""
        ...

    @property
    def cancelled(self) -> bool:
        """Whether the job was asked to stop. It is ended ten seconds later."""
        ...

    async def progress(self, current: int, total: int | None = None, message: str | None = None) -> None:
        """Set the progress, which clients see within half a second."""
        ...

    async def finish(self, result: Mapping[str, Any] | None = None) -> None:
        """Mark the job succeeded in the open transaction, so that effect and success commit together.

        Raises:
            LeaseLost: another worker has the job now. Don't catch it, so that the transaction rolls back.
        """
        ...

    async def confirm(self) -> None:
        """Check in the open transaction that the lease still holds; raises LeaseLost like `finish`."""
        ...

    def provide(self, path: str, type_: type[T]) -> T:
        """Return a provider of the composed container, e.g. `provide("files.service", FileService)`."""
        ...


class LeaseLost(Exception):  # expected, no bug
    """Another worker has this job now, so the transaction of this one must roll back."""


class JobRefused(ValueError):
    """A job that this installation doesn't allow. The text says which job, and what to do."""


class PermanentError(Exception):
    """Raised by a job that no further attempt can complete."""


class Snooze(Exception):  # a request, not a mistake
    """Raised by a job to run later without counting the attempt, for example while a server is down."""

    def __init__(self, delay: timedelta, reason: str) -> None:
        super().__init__(reason)
        self.delay = delay
        self.reason = reason


class NoPayload(BaseModel):
    """The payload of recurring jobs."""


class JobLimits(TypedDict, total=False):
    """Arguments that every form of `JobType(...)` takes."""

    queue: Queue
    max_attempts: int
    timeout: float
    version: int


class JobType(Generic[PayloadT]):
    """A kind of job: what its rows are called, what they carry, and what causes one.

    Declare it in a domain's job_types.py, in one of these forms:

        DELIVER = JobType("emails.deliver", DeliverEmail, queue=MAIL)   # services enqueue it
        RECONCILE = JobType("orders.reconcile", on=JobAbandoned)       # each such event enqueues one
        SWEEP = JobType("files.sweep", every=timedelta(minutes=5))      # the relay enqueues it by the clock
        REPORT = JobType("reports.nightly", cron="0 3 * * *", timezone="Europe/Berlin")

    Args:
        kind: stable name, `domain.verb`; rows in the database carry it.
        payload: a model of ids.
        on: an event that causes one such job; the event is the payload.
        every: run it this often; the payload is `NoPayload`.
        cron: run it at these times, five fields as in crontab(5); the payload is `NoPayload`.
        timezone: the IANA name of the zone of `cron`.
        queue: one of `shared.queues`.
        max_attempts: attempts before it is failed.
        timeout: seconds that one attempt may take, TULOU_JOBS_LONGEST_TIMEOUT at most.
        version: of the payload's shape; a worker leaves jobs of a version it doesn't know to newer workers.

    Raises:
        ValueError: the schedule, `timeout` or `max_attempts` is invalid.
    """

    @overload
    def __init__(self, kind: str, payload: type[PayloadT], **limits: Unpack[JobLimits]) -> None: ...

    @overload
    def __init__(self, kind: str, *, on: type[PayloadT], **limits: Unpack[JobLimits]) -> None: ...

    @overload
    def __init__(
        self: "JobType[NoPayload]",
        kind: str,
        *,
        every: timedelta | None = None,
        cron: str | None = None,
        timezone: str = "UTC",
        **limits: Unpack[JobLimits],
    ) -> None: ...

    def __init__(
        self,
        kind: str,
        payload: Any = None,
        *,
        on: Any = None,
        every: timedelta | None = None,
        cron: str | None = None,
        timezone: str = "UTC",
        queue: Queue = DEFAULT,
        max_attempts: int = 5,
        timeout: float = 60,
        version: int = 1,
    ) -> None:
        if timeout <= 0 or max_attempts < 1:
            message = f"the job {kind} needs a timeout above 0 and max_attempts of 1 or more"
            raise ValueError(message)
        if sum(cause is not None for cause in (payload, on, every, cron)) != 1:
            message = f"the job {kind} needs a payload, or one of on, every and cron"
            raise ValueError(message)
        self.kind = kind
        self.payload: type[PayloadT] = payload or on or cast("Any", NoPayload)
        self.on: type[Event] | None = on
        self.schedule: Recurrence | None = None
        if cron is not None:
            self.schedule = Cron(cron, timezone)
        elif every is not None:
            self.schedule = Every(every)
        self.queue = queue
        self.max_attempts = max_attempts
        self.timeout = timeout
        self.version = version

    def handler(self, run: "Handler[PayloadT]") -> "JobHandler[PayloadT]":
        """Decorate, in tasks.py, the coroutine `(payload, context: JobContext)` that runs such a job."""
        return JobHandler(self, run)


Handler = Callable[[PayloadT, JobContext], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class JobHandler(Generic[PayloadT]):
    """A job type and the coroutine that runs it."""

    type: JobType[PayloadT]
    run: Handler[PayloadT]


def handlers_in(module: ModuleType) -> list[JobHandler[Any]]:
    """Return the job handlers that a tasks module defines."""
    return [value for value in vars(module).values() if isinstance(value, JobHandler)]


class JobRegistry:
    """The jobs of all domains, in every process, whichever routes or queues it serves.

    `longest_timeout`: seconds; a job that declares a longer timeout is refused.
    """

    def __init__(self, *, longest_timeout: float = inf) -> None:
        self._longest_timeout = longest_timeout
        self._by_kind: dict[str, JobHandler[Any]] = {}
        self._by_event: dict[type[Event], list[JobType[Any]]] = {}

    def add(self, handlers: Iterable[JobHandler[Any]]) -> None:
        """Add a domain's jobs.

        Raises:
            JobRefused: a kind is declared twice, or its timeout is longer than `longest_timeout`.
        """
        for handler in handlers:
            job = handler.type
            if job.kind in self._by_kind:
                message = f"The job {job.kind} is declared twice."
                raise JobRefused(message)
            if job.timeout > self._longest_timeout:
                message = (
                    f"The job {job.kind} has a timeout of {job.timeout:g} s, and"
                    f" TULOU_JOBS_LONGEST_TIMEOUT allows {self._longest_timeout:g} s."
                    " Lower its timeout, or raise the setting."
                )
                raise JobRefused(message)
            self._by_kind[job.kind] = handler
            if job.on is not None:
                self._by_event.setdefault(job.on, []).append(job)

    def types(self) -> list[JobType[Any]]:
        """Return all declared jobs."""
        return [handler.type for handler in self._by_kind.values()]

    def find(self, kind: str) -> JobHandler[Any] | None:
        """Return a job's handler, or None: a newer deployment may have one."""
        return self._by_kind.get(kind)

    def longest_timeout(self, queues: Collection[str]) -> float:
        """Return the seconds that an attempt of a job of these queues may take at most."""
        timeouts = [job.timeout for job in self.types() if job.queue.name in queues]
        return max(timeouts, default=self._longest_timeout)

    def caused_by(self, event: type[Event]) -> list[JobType[Any]]:
        """Return the jobs that react to an event."""
        return self._by_event.get(event, [])

    def queues(self) -> list[str]:
        """Return the names of the queues in use."""
        return sorted({job.queue.name for job in self.types()})


@dataclass(frozen=True, slots=True)
class NewJob:
    """A row to insert. `run_at` None: at once. At most one unfinished job of a kind has a given `unique_key`."""

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
    """Storage of accepted jobs; the jobs domain implements it."""

    async def add(self, jobs: Sequence[NewJob]) -> list[UUID]:
        """Insert rows in the open transaction; return their ids, or that of the unfinished job with the unique key."""
        ...


@dataclass(frozen=True, slots=True)
class JobOptions:
    """Options of one job that differ from its declaration."""

    run_at: datetime | None = None
    priority: int = 100
    unique_key: str | None = None
    concurrency_key: str | None = None
    owner_id: UUID | None = None
    resource: Resource | None = None


class Outbox:
    """Writes jobs in the transaction that causes them, so that a change and its consequences commit together."""

    def __init__(self, registry: JobRegistry, store: JobStore) -> None:
        self._registry = registry
        self._store = store

    async def publish(self, event: Event) -> list[UUID]:
        """Write one job for each `JobType(..., on=type(event))`; return their ids."""
        jobs = self._registry.caused_by(type(event))
        options = JobOptions(owner_id=event.owner_id, resource=event.resource)
        return await self._store.add([_new(job, event, options) for job in jobs])

    def does_cause(self, event: type[Event], kind: str) -> bool:
        """Return whether jobs of this kind react to the event."""
        return any(job.kind == kind for job in self._registry.caused_by(event))

    async def enqueue(
        self, job: JobType[PayloadT], payload: PayloadT, options: JobOptions | None = None
    ) -> UUID:
        """Write one job; return its id, or that of the unfinished job with the same unique key.

        Raises:
            LookupError: no tasks.py handles this kind, so no worker would run the job.
        """
        if self._registry.find(job.kind) is None:
            message = f"no domain handles the job {job.kind}"
            raise LookupError(message)
        (job_id,) = await self._store.add([_new(job, payload, options or JobOptions())])
        return job_id


def _new(job: JobType[Any], payload: BaseModel, options: JobOptions) -> NewJob:
    return NewJob(
        kind=job.kind,
        queue=job.queue.name,
        payload=payload.model_dump(mode="json"),
        payload_version=job.version,
        max_attempts=job.max_attempts,
        priority=options.priority,
        run_at=options.run_at,
        unique_key=options.unique_key,
        concurrency_key=options.concurrency_key,
        owner_id=options.owner_id,
        resource=options.resource,
    )
