"""Every fault: importing this enters them all."""

from tools.faults import brokers, clocks, databases, deaths, hints, mails, restarts, soak, uploads, wishes

__all__ = [
    "brokers",
    "clocks",
    "databases",
    "deaths",
    "hints",
    "mails",
    "restarts",
    "soak",
    "uploads",
    "wishes",
]
