"""The job of the idempotency domain."""

from datetime import timedelta

from shared.jobs import JobType

PRUNE = JobType("idempotency.prune", every=timedelta(hours=1), timeout=600)
