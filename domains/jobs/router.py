"""The REST face of jobs."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from domains.jobs.errors import JobIsOver, JobNotFound, JobNotRetryable
from domains.jobs.schemas import JobBody, JobRow, JobStatus
from domains.jobs.service.jobs import JobService
from domains.jobs.service.watcher import JobWatcher
from shared.http.routing import Router, problems
from shared.identity import Caller, NotAuthenticated
from shared.pagination import BadCursor, Page, PageRequest, link_next, page_request
from shared.wiring import accessor

router = Router(prefix="/v1/jobs", tags=["jobs"])
Jobs = Annotated[JobService, Depends(accessor("jobs.service", JobService))]
Watcher = Annotated[JobWatcher, Depends(accessor("jobs.watcher", JobWatcher))]
RETRY_AFTER = "1"


async def _own_job(caller: Caller, jobs: Jobs, job_id: UUID) -> JobRow:
    """Check before the stream begins: an error after its first byte could not be told."""
    return await jobs.read(caller, job_id)


OwnJob = Annotated[JobRow, Depends(_own_job)]


@router.get("", summary="List your jobs", responses=problems(BadCursor, NotAuthenticated))
async def list_jobs(
    caller: Caller,
    jobs: Jobs,
    request: Request,
    response: Response,
    page: Annotated[PageRequest, page_request("created_at", "run_at")],
    status: Annotated[JobStatus | None, Query(description="Only jobs in this state.")] = None,
    kind: Annotated[str | None, Query(max_length=100, description="Only jobs of this kind.")] = None,
    resource_id: Annotated[UUID | None, Query(description="Only jobs about this thing.")] = None,
) -> Page[JobBody]:
    """Return your background work, the latest first."""
    found = await jobs.page(caller, page, status=status, kind=kind, resource_id=resource_id)
    link_next(request, response, found)
    return Page(data=[jobs.body(job) for job in found.data], next_cursor=found.next_cursor, total=found.total)


@router.get("/{job_id}", summary="Read a job", responses=problems(JobNotFound, NotAuthenticated))
async def get_job(job: OwnJob, jobs: Jobs, response: Response) -> JobBody:
    """Return one job. While it isn't over, `Retry-After` says when to look again; `/events` tells without asking."""
    if not job.is_over:
        response.headers["Retry-After"] = RETRY_AFTER
    return jobs.body(job)


@router.get(
    "/{job_id}/events",
    summary="Follow a job",
    response_class=EventSourceResponse,
    responses=problems(JobNotFound, NotAuthenticated),
)
async def follow_job(
    job: OwnJob,
    jobs: Jobs,
    watcher: Watcher,
    last_event_id: Annotated[
        str | None, Header(pattern=r"^\d{1,18}$", description="`id` of the last event that was seen.")
    ] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Send server-sent events: the job as it is now, then each change, until it is over. Comments keep the line open.

    After a broken line send the last `id` as `Last-Event-ID`: the present state follows if it is newer.
    """
    async for state in watcher.follow(job, after_revision=int(last_event_id or 0)):
        yield ServerSentEvent(data=jobs.body(state), event="job", id=str(state.revision))


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    summary="Cancel a job",
    responses=problems(JobNotFound, JobIsOver, NotAuthenticated),
)
async def cancel_job(caller: Caller, jobs: Jobs, job_id: UUID, response: Response) -> JobBody:
    """End a waiting job at once; ask a running one to stop, and end it after ten seconds."""
    return _accepted(jobs.body(await jobs.cancel(caller, job_id)), response)


@router.post(
    "/{job_id}/retry",
    status_code=202,
    summary="Start a job again",
    responses=problems(JobNotFound, JobNotRetryable, NotAuthenticated),
)
async def retry_job(caller: Caller, jobs: Jobs, job_id: UUID, response: Response) -> JobBody:
    """Queue a failed or cancelled job anew, with all its attempts."""
    return _accepted(jobs.body(await jobs.retry(caller, job_id)), response)


def _accepted(job: JobBody, response: Response) -> JobBody:
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    response.headers["Retry-After"] = RETRY_AFTER
    return job
