"""Every fault: importing this enters them all."""

from tests.faults import brokers, databases, deaths, mails, restarts

__all__ = ["brokers", "databases", "deaths", "mails", "restarts"]
