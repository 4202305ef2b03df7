"""Which operator runs a command."""

import os
import pwd
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.audit import Actor


def acting_operator() -> "Actor":
    """Return the operating system's user of this process, and the host, for the audit trail."""
    from shared.audit import Actor  # noqa: PLC0415  # only what a command needs is loaded

    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a user without a name
        name = f"uid-{os.getuid()}"
    return Actor(operator=f"{name}@{socket.gethostname()}")
