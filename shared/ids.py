"""Identifiers of everything that is stored."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Return a new UUIDv7 (RFC 9562, section 5.7): sorts by time, so an index stays compact; cannot be counted."""
    return uuid7()
