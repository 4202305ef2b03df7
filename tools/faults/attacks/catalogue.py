"""Every attack: importing this enters them all."""

from tools.faults.attacks import connections, fair_share, transfers

__all__ = ["connections", "fair_share", "transfers"]
