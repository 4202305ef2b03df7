"""The settings that each kind of process requires, so that no process needs the secrets of others."""

from collections.abc import Sequence
from typing import Literal

from shared.queues import DEFAULT, QUEUES

Role = Literal["api", "worker", "relay", "migrate", "backup", "command"]

EVERYTHING = ("database_url", "redis_url", "signing_keys", "token_keys", "mail_keys", "emails_smtp_url")
_OF_BACKUPS = ("database_url", "redis_url", "signing_keys", "token_keys", "mail_keys")
_OF_WORKERS = ("database_url", "redis_url")


def required_settings(role: Role, queues: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the settings that must be set. A worker whose queues are not known yet may need all of them."""
    if role == "migrate":
        return ("database_url",)
    if role == "backup":
        return _OF_BACKUPS
    if role == "relay":
        return _OF_WORKERS
    if role == "worker" and queues:
        of_queues = [name for queue in queues for name in QUEUES.get(queue, DEFAULT).needs]
        return tuple(dict.fromkeys([*_OF_WORKERS, *of_queues]))
    return EVERYTHING
