"""Every attack: importing this enters them all."""

from tools.faults.attacks import connections, transfers, turns

__all__ = ["connections", "transfers", "turns"]
