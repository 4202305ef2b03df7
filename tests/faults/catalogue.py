"""Every fault: importing this enters them all."""

from tests.faults import brokers, deaths

__all__ = ["brokers", "deaths"]
