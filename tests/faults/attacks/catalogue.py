"""Every attack: importing this enters them all."""

from tests.faults.attacks import connections

__all__ = ["connections"]
