"""What can be wrong with a job."""

from shared.errors import AppError, Conflict, NotFound, TooLarge, TooManyRequests, Unavailable, Unprocessable


class JobNotFound(NotFound):
    """No such job, or another's."""

    code = "jobs.not_found"
    detail = "There is no job with this id, or it isn't yours."


class JobIsOver(Conflict):
    """A job that has ended can't be cancelled."""

    code = "jobs.is_over"
    detail = "This job has ended already; it can't be cancelled any more."


class JobNotRetryable(Conflict):
    """Only failed and cancelled jobs can be started again."""

    code = "jobs.not_retryable"
    detail = "Only a failed or cancelled job can be started again."


class TooManyJobs(TooManyRequests):
    """The owner has as many jobs waiting as one may have."""

    code = "jobs.too_many"
    detail = "You have too many jobs waiting; try again when some of them are done."


class PayloadTooLarge(TooLarge):
    """The payload of a job is past its limit."""

    code = "jobs.payload_too_large"
    detail = "The input of this job is too large; store it as a file and pass its id."


class BadPayload(Unprocessable):
    """A job's payload doesn't fit the job."""

    code = "jobs.bad_payload"
    detail = "The stored input doesn't fit this job."


class JobTimedOut(Unavailable):
    """An attempt took longer than it may."""

    code = "jobs.timed_out"
    detail = "An attempt took longer than this job may take."


class WorkerDied(Unavailable):
    """The worker died in the job, as often as it may."""

    code = "jobs.worker_died"
    detail = "The worker died while it ran this job, too many times to try again."


class UnknownKind(Unavailable):
    """No worker knows this kind of job."""

    code = "jobs.unknown_kind"
    detail = "No worker knew this kind of job for too long."


class JobFailed(AppError):
    """An unexpected error in a job. Its text stays in the log."""

    code = "jobs.failed"
    title = "The job failed"
    detail = "Something went wrong in this job. The request id finds it in the log."
