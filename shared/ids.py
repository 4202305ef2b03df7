"""Identifiers of stored rows."""

from uuid import UUID

import uuid_utils
from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Return a new UUIDv7 (RFC 9562, section 5.7): sorts by time, so an index stays compact; cannot be counted."""
    return uuid7()


def new_request_id() -> str:
    """Return a new name for a request: a UUIDv7 too, written down without the detour of a `UUID`."""
    return str(uuid_utils.uuid7())
