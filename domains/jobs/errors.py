"""What can be wrong with a job."""

from shared.errors import AppError, Conflict, NotFound, TooLarge, TooManyRequests, Unavailable, Unprocessable


class JobNotFound(NotFound):
    """The job does not exist, or belongs to another user."""

    code = "jobs.not_found"
    detail = "There is no job with this id, or it isn't yours."


class JobIsOver(Conflict):
    """The job has ended, so it can't be cancelled."""

    remedy = "Nothing."
    code = "jobs.is_over"
    detail = "This job has ended already; it can't be cancelled any more."


class JobNotRetryable(Conflict):
    """Only failed and cancelled jobs can be retried."""

    remedy = "Read the job again."
    code = "jobs.not_retryable"
    detail = "Only a failed or cancelled job can be started again."


class TooManyJobs(TooManyRequests):
    """The owner has as many waiting jobs as allowed."""

    remedy = "Wait until some of your jobs have ended."
    code = "jobs.too_many"
    detail = "You have too many jobs waiting; try again when some of them are done."


class PayloadTooLarge(TooLarge):
    """The job's payload is larger than the limit."""

    code = "jobs.payload_too_large"
    detail = "The input of this job is too large; store it as a file and pass its id."


class BadPayload(Unprocessable):
    """The stored payload does not fit the job's declaration."""

    remedy = "Nothing. The operator has to look for the cause."
    code = "jobs.bad_payload"
    detail = "The stored input doesn't fit this job."


class JobTimedOut(Unavailable):
    """An attempt took longer than the job's timeout."""

    remedy = "Retry the job, if it has failed."
    code = "jobs.timed_out"
    detail = "An attempt took longer than this job may take."


class WorkerDied(Unavailable):
    """The worker process died during the job, as often as it may."""

    remedy = "Retry the job. If it fails again, the operator has to look for the cause."
    code = "jobs.worker_died"
    detail = "The worker died while it ran this job, too many times to try again."


class UnknownKind(Unavailable):
    """No worker knew this kind of job for a day."""

    remedy = "The operator has to run a worker of the version that knows it, then retry the job."
    code = "jobs.unknown_kind"
    detail = "No worker knew this kind of job for too long."


class JobFailed(AppError):
    """An unexpected error ended the job. Its text is in the log only."""

    remedy = "Retry the job. If it fails again, give its request id to the operator."
    code = "jobs.failed"
    title = "The job failed"
    detail = "Something went wrong in this job. The request id finds it in the log."
