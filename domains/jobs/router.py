"""HTTP routes for jobs."""

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from domains.jobs.errors import JobIsOver, JobNotFound, JobNotRetryable, TooManyJobs
from domains.jobs.schemas import JobBody, JobRow, JobStatus
from domains.jobs.service.jobs import JobService
from domains.jobs.service.watcher import JobWatcher
from shared.db.pagination import Page, PageRequest, link_next, page_request
from shared.http.authentication import Caller
from shared.http.concurrency import Activity, Busy, RequestSlot, TooManyInProgress
from shared.http.request_slots import request_slot
from shared.http.response_headers import sends
from shared.http.routing import Router, problems
from shared.http.streaming import until_revoked
from shared.wiring import accessor

router = Router(prefix="/v1/jobs", tags=["jobs"])
Jobs = Annotated[JobService, Depends(accessor("jobs.service", JobService))]
Watcher = Annotated[JobWatcher, Depends(accessor("jobs.watcher", JobWatcher))]
RETRY_AFTER = "1"
NOTHING_MORE = 204
RECONNECT_MILLISECONDS = 2000
"""Pause of a client before it reconnects; by then a process that is being replaced has stopped listening."""

_EVENT = (
    "retry: 2000\n\nevent: job\n"
    'data: {"id":"0199c3f0-7a6e-7bd4-8f2e-3d1c5a9b7e42","kind":"files.process","status":"running",'
    '"progress":{"current":1,"total":4,"percent":25,"message":"small"},"attempt":1,"max_attempts":5}\nid: 4\n\n'
)
_ACCEPTED: dict[int | str, dict[str, Any]] = {202: {"headers": sends("Location", "Retry-After")}}


async def _own_job(caller: Caller, jobs: Jobs, job_id: UUID) -> JobRow:
    """Check before the stream begins, because an error can't be sent after its first byte."""
    return await jobs.read(caller, job_id)


OwnJob = Annotated[JobRow, Depends(_own_job)]
StreamSlot = Annotated[RequestSlot, Depends(request_slot(Activity.STREAM))]


@router.get("", summary="List your jobs")
async def list_jobs(
    caller: Caller,
    jobs: Jobs,
    request: Request,
    response: Response,
    page: Annotated[PageRequest, page_request("created_at", "run_at")],
    status: Annotated[JobStatus | None, Query(description="Only jobs in this state.")] = None,
    kind: Annotated[
        str | None, Query(max_length=100, description="Only jobs of this kind.", examples=["files.process"])
    ] = None,
    resource_id: Annotated[UUID | None, Query(description="Only jobs about this resource.")] = None,
) -> Page[JobBody]:
    """List your jobs, the latest first."""
    found = await jobs.page(caller, page, status=status, kind=kind, resource_id=resource_id)
    link_next(request, response, found)
    return Page(data=[jobs.body(job) for job in found.data], next_cursor=found.next_cursor, total=found.total)


@router.get(
    "/{job_id}",
    summary="Read a job",
    responses={200: {"headers": sends("Retry-After")}, **problems(JobNotFound)},
)
async def read_job(job: OwnJob, jobs: Jobs, response: Response) -> JobBody:
    """Return one job. Until it has ended, `Retry-After` has the interval for polling; `/events` streams changes."""
    if not job.is_over:
        response.headers["Retry-After"] = RETRY_AFTER
    return jobs.body(job)


async def _seen_revision(
    job: OwnJob,
    response: Response,
    last_event_id: Annotated[
        str | None,
        Header(pattern="^[0-9]{1,18}$", description="`id` of the last received event.", examples=["4"]),
    ] = None,
) -> int:
    """Return up to which revision the client knows the job; 204 if there is nothing more to tell.

    An `id` from the future was given before the database was restored: the client knows another past.
    """
    seen = int(last_event_id or 0)
    if job.is_over and seen == job.revision:
        response.status_code = NOTHING_MORE
    return seen if seen <= job.revision else 0


@router.get(
    "/{job_id}/events",
    summary="Follow a job",
    response_class=EventSourceResponse,
    responses={
        200: {"content": {"text/event-stream": {"example": _EVENT}}},
        NOTHING_MORE: {
            "description": "The job has ended, and `Last-Event-ID` is its last event: do not reconnect."
        },
        **problems(JobNotFound, TooManyInProgress, Busy),
    },
)
async def follow_job(
    job: OwnJob,
    slot: StreamSlot,  # noqa: ARG001  # held until the stream has ended
    jobs: Jobs,
    watcher: Watcher,
    request: Request,
    seen: Annotated[int, Depends(_seen_revision)],
) -> AsyncIterator[ServerSentEvent]:
    """Send server-sent events named `job`: the job as it is now, then each change, until it has ended.

    The `data` of each event is what `GET /v1/jobs/{job_id}` shows. A comment every 15 seconds keeps the connection
    open; `retry` says after how many milliseconds to reconnect.

    A client that reconnects sends the last `id` as `Last-Event-ID`: the present state follows if it is newer. Once the
    job has ended and its last event was seen the answer is 204, which ends the reconnections of an `EventSource`.
    The stream ends, too, when the access token or its session does: then the answer is 401.
    """
    if job.is_over and seen == job.revision:
        return
    yield ServerSentEvent(retry=RECONNECT_MILLISECONDS)
    async for state in until_revoked(request, watcher.follow(job, after_revision=seen)):
        yield ServerSentEvent(data=jobs.body(state), event="job", id=str(state.revision))


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    summary="Cancel a job",
    responses=_ACCEPTED | problems(JobNotFound, JobIsOver),
)
async def cancel_job(caller: Caller, jobs: Jobs, job_id: UUID, response: Response) -> JobBody:
    """Cancel a job: a waiting one at once; a running one is asked to stop, and ended after ten seconds."""
    return _accepted(jobs.body(await jobs.cancel(caller, job_id)), response)


@router.post(
    "/{job_id}/retry",
    status_code=202,
    summary="Retry a job",
    responses=_ACCEPTED | problems(JobNotFound, JobNotRetryable, TooManyJobs),
)
async def retry_job(caller: Caller, jobs: Jobs, job_id: UUID, response: Response) -> JobBody:
    """Retry a failed or cancelled job with all its attempts. It waits in its queue like a new job."""
    return _accepted(jobs.body(await jobs.retry(caller, job_id)), response)


def _accepted(job: JobBody, response: Response) -> JobBody:
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    response.headers["Retry-After"] = RETRY_AFTER
    return job
