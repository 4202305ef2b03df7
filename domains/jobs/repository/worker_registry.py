"""Which workers there are."""

from datetime import timedelta

from sqlalchemy import Boolean, Interval, delete
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from domains.jobs.models import Worker
from domains.jobs.repository.conditions import now
from domains.jobs.schemas import WorkerInfo
from shared.db.query import param, query
from shared.db.repository import Repository

_draining = param("draining", Boolean())


class WorkerRegistry(Repository):
    """Rows of `jobs.workers`."""

    async def register(self, info: WorkerInfo) -> None:
        """Write a worker's row, or move its heartbeat forward."""
        await self._register(info.id, info.host, info.pid, info.queues, info.version, draining=info.draining)

    @query(
        insert(Worker)
        .values(
            id=param("worker_id"),
            host=param("host"),
            pid=param("pid"),
            queues=param("queues"),
            version=param("version"),
            draining=_draining,
        )
        .on_conflict_do_update(index_elements=["id"], set_={"heartbeat_at": now, "draining": _draining})
    )
    async def _register(
        self, worker_id: str, host: str, pid: int, queues: str, version: str, *, draining: bool
    ) -> None: ...

    @query(delete(Worker).where(col(Worker.id) == param("worker_id")))
    async def deregister(self, worker_id: str) -> None:
        """Delete a worker's row."""

    @query(delete(Worker).where(col(Worker.heartbeat_at) < now - param("age", Interval())))
    async def delete_stale(self, *, age: timedelta) -> None:
        """Delete the rows of workers whose last heartbeat is older than `age`."""
