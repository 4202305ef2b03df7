"""A route by which the faults hand in work, as any domain's route would: one transaction, then 202."""

import asyncio
from uuid import UUID

from fastapi import FastAPI, Request
from pydantic import BaseModel, Field

from bootstrap.container import TulouContainer
from domains.emails.public import OutgoingMail, WhenUncertain
from shared.http.api_state import api_state
from shared.http.routing import Router
from shared.jobs import JobOptions
from tools.faults.jobs import Work


class Order(BaseModel):
    """A job to accept. `lingers`: seconds that the transaction stays open after the row was written."""

    kind: str = "faults.effect"
    work: Work = Field(default_factory=Work)
    unique_key: str | None = None
    owner_id: UUID | None = None
    lingers: float = 0


class MailOrder(BaseModel):
    """A mail to accept."""

    to: str
    to_name: str | None = None
    when_uncertain: WhenUncertain = WhenUncertain.HOLD


class Accepted(BaseModel):
    """What was accepted."""

    id: UUID


router = Router()


@router.post("/v1/faults/jobs", status_code=202)
async def accept_job(order: Order, request: Request) -> Accepted:
    """Accept a job."""
    container: TulouContainer = api_state(request).container
    handler = container.registry().find(order.kind)
    if handler is None:
        raise LookupError(order.kind)
    options = JobOptions(unique_key=order.unique_key, owner_id=order.owner_id)
    async with container.database().transaction():
        job_id = await container.jobs.outbox().enqueue(handler.type, order.work, options)
        if order.lingers:
            await asyncio.sleep(order.lingers)
    return Accepted(id=job_id)


@router.post("/v1/faults/mails", status_code=202)
async def accept_mail(order: MailOrder, request: Request) -> Accepted:
    """Accept a mail."""
    container: TulouContainer = api_state(request).container
    mailer = container.emails.mailer()
    prepared = mailer.prepare(
        OutgoingMail(
            template="auth/password_changed",
            to=order.to,
            to_name=order.to_name,
            variables={"name": None, "forgot_url": "http://127.0.0.1/"},
            when_uncertain=order.when_uncertain,
        )
    )
    return Accepted(id=await mailer.send(prepared))


def install(app: FastAPI) -> FastAPI:
    """Add the routes to the application."""
    app.include_router(router)
    return app
