"""A worker of some domains takes no job of another's, though both use one queue."""

from domains.auth.service.job_definitions import VERIFY, MailRequest


async def test_jobs_of_other_domains_in_the_same_queue_are_left_alone(
    composition, app, user, work_off, monkeypatch
) -> None:
    await work_off()
    runner = composition.jobs.runner()
    monkeypatch.setattr(runner, "kinds", {"files.sweep"})
    async with composition.database().transaction():
        await composition.jobs.outbox().enqueue(VERIFY, MailRequest(user_id=user.id))
    assert await runner.claim_next("default") is None
    monkeypatch.setattr(runner, "kinds", {VERIFY})
    assert await runner.run_worker_loop("default") == 1
