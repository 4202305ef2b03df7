"""The queues of background jobs. Each has workers of its own, so that a flood in one delays no other."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Queue:
    """Jobs that the same workers run.

    Args:
        name: as in `tulou worker --queue NAME`.
        needs: settings that its workers can't do without, besides the database and Redis.
        slots: the setting that says how many of its jobs a child process runs at a time; None: one. For jobs that
            mostly wait for another server.
    """

    name: str
    needs: tuple[str, ...] = ()
    slots: str | None = None


DEFAULT = Queue("default", needs=("token_keys", "mail_keys"))
MAIL = Queue("mail", needs=("mail_keys", "emails_smtp_url"), slots="worker_mails")
FILES = Queue("files")
QUEUES = {queue.name: queue for queue in (DEFAULT, MAIL, FILES)}
"""All of them, by name. `tulou dev` runs a worker for each; `deploy/` has a manifest for each."""
