"""Errors of jobs."""

from shared.errors import AppError, Conflict, NotFound, TooLarge, TooManyRequests, Unavailable, Unprocessable


class JobNotFound(NotFound):
    """The job does not exist, or belongs to another user."""

    code = "jobs.not_found"
    detail = "No job of yours has this id."


class JobIsOver(Conflict):
    """The job has ended, so it can't be cancelled."""

    code = "jobs.is_over"
    remedy = "Nothing."
    detail = "This job has already ended, so it can't be cancelled."


class JobNotRetryable(Conflict):
    """Only failed and cancelled jobs can be retried."""

    code = "jobs.not_retryable"
    remedy = "Read the job again."
    detail = "Only a failed or cancelled job can be retried."


class TooManyJobs(TooManyRequests):
    """The owner has as many waiting jobs as allowed."""

    code = "jobs.too_many"
    remedy = "Wait until some of your jobs have ended."
    detail = "You have too many waiting jobs. Try again when some of them have ended."


class PayloadTooLarge(TooLarge):
    """The job's payload is larger than the limit."""

    code = "jobs.payload_too_large"
    detail = "The payload of this job is too large. Store it as a file and pass the file's id."


class BadPayload(Unprocessable):
    """The stored payload does not fit the job's declaration."""

    code = "jobs.bad_payload"
    remedy = "Nothing. The operator has to look for the cause."
    detail = "The stored payload is not valid for this kind of job."


class JobTimedOut(Unavailable):
    """An attempt took longer than the job's timeout."""

    code = "jobs.timed_out"
    remedy = "Retry the job, if it has failed."
    detail = "An attempt exceeded the time limit of this job."


class WorkerDied(Unavailable):
    """The worker process died during the job, as often as it may."""

    code = "jobs.worker_died"
    remedy = "Retry the job. If it fails again, the operator has to look for the cause."
    detail = "Workers ended unexpectedly too often while they ran this job."


class UnknownKind(Unavailable):
    """No worker knew this kind of job for a day."""

    code = "jobs.unknown_kind"
    remedy = "The operator has to run a worker of the version that knows it, then retry the job."
    detail = "No worker had this kind of job for too long."


class JobFailed(AppError):
    """An unexpected error ended the job. Its text is in the log only."""

    code = "jobs.failed"
    remedy = "Retry the job. If it fails again, give its request id to the operator."
    title = "The job failed"
    detail = "The job failed unexpectedly. Search the server's log for the request id."
