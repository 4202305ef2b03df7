"""Which workers there are."""

from datetime import timedelta

from sqlalchemy import Boolean, Interval, bindparam, delete, literal_column
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from domains.jobs.models import Worker
from domains.jobs.repository.conditions import now
from domains.jobs.schemas import WorkerCard
from shared.db.query import Nothing, Statement
from shared.db.repository import Repository

_draining = bindparam("is_draining", type_=Boolean())
_ANNOUNCE = Statement(
    insert(Worker)
    .values(
        id=bindparam("new_id"),
        host=bindparam("its_host"),
        pid=bindparam("its_pid"),
        queues=bindparam("its_queues"),
        version=bindparam("its_version"),
        draining=_draining,
    )
    .on_conflict_do_update(index_elements=["id"], set_={"heartbeat_at": now, "draining": _draining}),
    Nothing,
)
_LEAVE = Statement(delete(Worker).where(col(Worker.id) == bindparam("its_id")), Nothing)
_FORGET = Statement(
    delete(Worker).where(
        col(Worker.heartbeat_at) < literal_column("now()") - bindparam("age", type_=Interval())
    ),
    Nothing,
)


class RosterRepository(Repository):
    """Rows of `jobs.workers`."""

    async def announce(self, card: WorkerCard) -> None:
        """Write a worker's row, or move its heartbeat forward."""
        await self.database.execute(
            _ANNOUNCE,
            new_id=card.id,
            its_host=card.host,
            its_pid=card.pid,
            its_queues=card.queues,
            its_version=card.version,
            is_draining=card.draining,
        )

    async def leave(self, worker_id: str) -> None:
        """Delete a worker's row."""
        await self.database.execute(_LEAVE, its_id=worker_id)

    async def forget(self, *, age: timedelta) -> None:
        """Delete the rows of workers that died without a word longer than `age` ago."""
        await self.database.execute(_FORGET, age=age)
