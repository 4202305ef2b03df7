"""Every fault: importing this enters them all."""

from tools.faults import (
    brokers,
    clocks,
    databases,
    deaths,
    mails,
    restarts,
    soak,
    uploads,
    versions_and_cancels,
    wake_ups,
)

__all__ = [
    "brokers",
    "clocks",
    "databases",
    "deaths",
    "mails",
    "restarts",
    "soak",
    "uploads",
    "versions_and_cancels",
    "wake_ups",
]
