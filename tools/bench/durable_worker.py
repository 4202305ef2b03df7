"""A worker of Tulou, as `tulou worker` starts it, that knows the jobs of the measurement too."""

import os
import sys
import time

from pydantic import BaseModel
from sqlalchemy import Column, DateTime, MetaData, Table, Uuid, bindparam, insert

from bootstrap.compose import Role, compose
from bootstrap.container import TulouContainer
from bootstrap.settings.loading import load_settings
from bootstrap.settings.model import Settings
from shared.db.database import Database
from shared.db.statement import Nothing, Statement
from shared.jobs import JobContext, JobType, handlers_in
from shared.logging import configure_logging
from shared.queues import DEFAULT

_effects = Table(
    "effects",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("written_at", DateTime(timezone=True)),
    schema="bench",
)
_WRITE = Statement(insert(_effects).values(id=bindparam("effect_id", type_=Uuid())), Nothing)


class TimedPayload(BaseModel):
    """`sent_at`: seconds since 1970, just before the job was written down."""

    sent_at: float


NOTHING = JobType("bench.nothing", TimedPayload)
ROW = JobType("bench.row", TimedPayload)
WAITED = JobType("bench.waited", TimedPayload)
JOBS = {"nothing": NOTHING, "row": ROW, "waited": WAITED}


@NOTHING.handler
async def do_nothing(_payload: TimedPayload, _context: JobContext) -> None:
    """Do nothing."""


@ROW.handler
async def write_row(_payload: TimedPayload, context: JobContext) -> None:
    """Write one row; effect and success commit together."""
    database = context.provide("database", Database)
    async with database.transaction():
        await database.execute(_WRITE, effect_id=context.job_id)
        await context.finish()


@WAITED.handler
async def tell_wait(payload: TimedPayload, context: JobContext) -> None:
    """Tell how long the job waited for its first line to run."""
    waited = time.time() - payload.sent_at
    await context.finish({"waited": waited})


def composed(settings: Settings, role: Role = "worker") -> TulouContainer:
    """Return the composed program with these jobs in its registry."""
    container = compose(settings, role)
    container.registry().add(handlers_in(sys.modules[__name__]))
    return container


def main() -> None:
    """Work until SIGTERM."""
    # Celery reads it when it is imported, as in `tulou worker`.
    os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")
    from bootstrap.worker import Worker  # noqa: PLC0415  # after the line above

    settings = load_settings()
    configure_logging(level=settings.log_level, log_format=settings.logs_as)
    Worker(settings, [DEFAULT.name], composed=composed).run()


if __name__ == "__main__":
    main()
