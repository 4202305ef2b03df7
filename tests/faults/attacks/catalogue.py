"""Every attack: importing this enters them all."""

from tests.faults.attacks import connections, transfers

__all__ = ["connections", "transfers"]
