"""Output of the commands for jobs: tables for people, JSON for scripts."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.table import Column

from domains.jobs.repository.operations import SILENT_AFTER
from domains.jobs.repository.reports import AttemptRow, JobReport, WorkerRow
from domains.jobs.schemas import JobRow
from domains.jobs.service.operations import JobCommandResult, QueueStatistics, Statistics
from shared.cli.output import format_time, print_json, print_table

_STEPS = ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h"))


def print_jobs(jobs: Sequence[JobRow], *, as_json: bool) -> None:
    """Print one line for each job."""
    if as_json:
        print_json([{"status": job.status, **job.model_dump(mode="json", exclude={"state"})} for job in jobs])
        return
    headings: list[str | Column] = [
        Column("id", no_wrap=True),
        "kind",
        "queue",
        "status",
        "attempt",
        "created",
        "error",
    ]
    print_table(
        headings,
        [
            [job.id, job.kind, job.queue, job.status, _of(job), format_time(job.created_at), _code(job.error)]
            for job in jobs
        ],
        nothing="No job matches.",
    )


def print_report(report: JobReport, *, as_json: bool) -> None:
    """Print everything about a job."""
    job, attempts = report.job, report.attempts
    everything = {
        "id": str(job.id),
        "status": job.status,
        **job.model_dump(mode="json", exclude={"id", "state"}),
    }
    if as_json:
        print_json(everything | {"attempts": [row.model_dump(mode="json") for row in attempts]})
        return
    rows = [[name, _value(value)] for name, value in everything.items() if value is not None]
    print_table([Column("of the job", no_wrap=True), "is"], rows)
    headings = ["earlier attempt", "ended", "outcome", "after", "worker", "error"]
    if attempts:
        print_table(headings, [_attempt(row) for row in attempts])


def print_results(answers: Sequence[JobCommandResult], *, as_json: bool) -> int:
    """Print the result for each job; return the exit code."""
    if as_json:
        print_json([answer.model_dump(mode="json") for answer in answers])
    else:
        for answer in answers:
            _print_result(answer)
    return int(any(answer.error for answer in answers))


def print_retried(matched: int, begun: int, *, as_json: bool) -> None:
    """Print how many jobs were started again."""
    if as_json:
        print_json({"matched": matched, "queued": begun})
        return
    left = f" {matched - begun} were left: another job does their work." if begun < matched else ""
    sys.stdout.write(
        f"{begun} of {matched} failed jobs are queued again.{left}\n"
        if matched
        else "No failed job matches.\n"
    )


def print_statistics(statistics: Statistics, *, as_json: bool) -> None:
    """Print the queues, then what went wrong."""
    if as_json:
        print_json(statistics.model_dump(mode="json"))
        return
    headings = [
        "queue",
        "scheduled",
        "queued",
        "running",
        "retrying",
        "oldest due",
        "ended/min",
        "ended/h",
        "workers",
    ]
    print_table(headings, [_queue(row) for row in statistics.queues])
    failed = sorted(statistics.failed_by_kind.items(), key=lambda pair: -pair[1])
    print_table(
        ["failed within 24 h", "jobs"], [list(pair) for pair in failed], nothing="No job failed within 24 h."
    )
    sys.stdout.write(
        f"Leases that expired within 24 h: {statistics.leases_expired}."
        f" Relay behind by: {_length(statistics.relay_lag_seconds)}.\n"
    )


def print_workers(workers: Sequence[WorkerRow], *, as_json: bool) -> None:
    """Print one line for each worker."""
    if as_json:
        print_json([{**row.model_dump(mode="json"), "state": state_of(row)} for row in workers])
        return
    headings: list[str | Column] = [
        Column("id", no_wrap=True),
        "host",
        "queues",
        "version",
        "state",
        "running",
        "last heartbeat",
    ]
    print_table(
        headings,
        [
            [
                row.id,
                row.host,
                row.queues or "(relay)",
                row.version,
                state_of(row),
                row.running,
                f"{_length(row.silence)} ago",
            ]
            for row in workers
        ],
        nothing="No worker runs. Start one: tulou worker --queue default",
    )


def state_of(worker: WorkerRow) -> str:
    """Return how a worker is: one that has missed three heartbeats is silent, most likely dead."""
    if worker.silence > SILENT_AFTER.total_seconds():
        return "silent"
    return "draining" if worker.draining else "ready"


def _print_result(answer: JobCommandResult) -> None:
    if answer.error:
        sys.stderr.write(f"{answer.error}\n")
    elif answer.status == "cancelling":
        sys.stdout.write(f"Job {answer.id} was asked to stop.\n")
    else:
        sys.stdout.write(f"Job {answer.id} is {answer.status}.\n")


def _queue(row: QueueStatistics) -> list[Any]:
    waits = _length(row.oldest_due_seconds) if row.oldest_due_seconds else "-"
    states = [row.scheduled, row.queued, row.running, row.retrying]
    return [row.queue, *states, waits, row.ended_last_minute, row.ended_last_hour, row.workers]


def _attempt(row: AttemptRow) -> list[Any]:
    took = _length((row.ended_at - row.started_at).total_seconds()) if row.started_at else "-"
    return [row.attempt, format_time(row.ended_at), row.outcome, took, row.worker_id or "-", _code(row.error)]


def _of(job: JobRow) -> str:
    return f"{job.attempt}/{job.max_attempts}"


def _code(error: dict[str, Any] | None) -> str:
    return str((error or {}).get("code", ""))


def _length(seconds: float) -> str:
    for limit, unit, name in _STEPS:
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} d"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
