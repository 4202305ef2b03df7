"""A worker of some domains claims no job of other domains, though both use one queue."""

from domains.auth.job_types import SEND_VERIFICATION, MailRequest
from domains.files.job_types import SWEEP


async def test_jobs_of_other_domains_in_the_same_queue_are_left_alone(
    composition, app, user, work_off, monkeypatch
) -> None:
    await work_off()
    runner = composition.jobs.runner()
    monkeypatch.setattr(runner, "kinds", {SWEEP.kind})
    async with composition.database().transaction():
        await composition.jobs.outbox().enqueue(SEND_VERIFICATION, MailRequest(user_id=user.id))
    assert await runner.claim_next("default") is None
    monkeypatch.setattr(runner, "kinds", {SEND_VERIFICATION.kind})
    assert await runner.run_worker_loop("default") == 1
