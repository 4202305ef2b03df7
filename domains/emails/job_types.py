"""The jobs of mail."""

from datetime import timedelta
from uuid import UUID

from pydantic import BaseModel

from domains.jobs.public import JobAbandoned
from shared.jobs import JobType
from shared.queues import MAIL


class DeliverEmail(BaseModel):
    """Which mail to send."""

    email_id: UUID


# Thirty attempts, at most six hours apart, cover the five days in which a mail is worth trying.
DELIVER = JobType("emails.deliver", DeliverEmail, queue=MAIL, max_attempts=30, timeout=120)
# The kind is stored with each job, so its older name is kept.
RECONCILE = JobType("emails.settle", on=JobAbandoned)
EXPIRE = JobType("emails.expire", every=timedelta(hours=1))
PRUNE = JobType("emails.prune", every=timedelta(hours=1), timeout=300)
