"""The jobs of files."""

from datetime import timedelta

from pydantic import BaseModel

from domains.files.public import FileStored
from domains.jobs.public import JobAbandoned
from shared.jobs import JobType
from shared.queues import FILES


class KeysToErase(BaseModel):
    """Keys of objects that no row names any more."""

    keys: list[str]


PROCESS = JobType("files.process", FileStored, queue=FILES, timeout=900)
ERASE = JobType("files.erase", KeysToErase, max_attempts=10, timeout=300)
# The kind is stored with each job, so its older name is kept.
RECONCILE = JobType("files.settle", on=JobAbandoned)
INDEX = JobType("files.index", every=timedelta(minutes=5), timeout=300)
PRUNE_ERASURES = JobType("files.prune_erasures", every=timedelta(days=1), timeout=300)
SWEEP = JobType("files.sweep", every=timedelta(minutes=5), timeout=300)
