"""Which workers there are."""

from datetime import timedelta

from sqlalchemy import Boolean, Interval, bindparam, delete, literal_column
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from domains.jobs.models import Worker
from domains.jobs.repository.conditions import now
from domains.jobs.schemas import WorkerInfo
from shared.db.repository import Repository
from shared.db.statement import Nothing, Statement

_draining = bindparam("is_draining", type_=Boolean())
_REGISTER = Statement(
    insert(Worker)
    .values(
        id=bindparam("new_id"),
        host=bindparam("new_host"),
        pid=bindparam("new_pid"),
        queues=bindparam("new_queues"),
        version=bindparam("new_version"),
        draining=_draining,
    )
    .on_conflict_do_update(index_elements=["id"], set_={"heartbeat_at": now, "draining": _draining}),
    Nothing,
)
_DEREGISTER = Statement(delete(Worker).where(col(Worker.id) == bindparam("worker_id")), Nothing)
_DELETE_STALE = Statement(
    delete(Worker).where(
        col(Worker.heartbeat_at) < literal_column("now()") - bindparam("age", type_=Interval())
    ),
    Nothing,
)


class WorkerRegistry(Repository):
    """Rows of `jobs.workers`."""

    async def register(self, info: WorkerInfo) -> None:
        """Write a worker's row, or move its heartbeat forward."""
        await self.database.execute(
            _REGISTER,
            new_id=info.id,
            new_host=info.host,
            new_pid=info.pid,
            new_queues=info.queues,
            new_version=info.version,
            is_draining=info.draining,
        )

    async def deregister(self, worker_id: str) -> None:
        """Delete a worker's row."""
        await self.database.execute(_DEREGISTER, worker_id=worker_id)

    async def delete_stale(self, *, age: timedelta) -> None:
        """Delete the rows of workers that died without a word longer than `age` ago."""
        await self.database.execute(_DELETE_STALE, age=age)
