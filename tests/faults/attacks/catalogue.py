"""Every attack: importing this enters them all."""

from tests.faults.attacks import connections, transfers, turns

__all__ = ["connections", "transfers", "turns"]
