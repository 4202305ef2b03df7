"""The job of the jobs domain itself."""

from datetime import timedelta

from shared.jobs import JobType

PRUNE = JobType("jobs.prune", every=timedelta(hours=1), timeout=600)
