"""The operator who runs a command."""

import os
import pwd
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.audit import Actor


OPERATOR = "TULOU_OPERATOR"
_LONGEST = 100


def current_operator() -> "Actor":
    """Return user and host of the operating system, for the audit log.

    In a container these are the container's, so TULOU_OPERATOR can add a name.
    """
    from shared.audit import Actor  # noqa: PLC0415  # only what a command needs is loaded
    from shared.text import as_line  # noqa: PLC0415  # as above

    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a user without a name
        name = f"uid-{os.getuid()}"
    account = f"{name}@{socket.gethostname()}"
    given = as_line(os.environ.get(OPERATOR, "").encode(errors="replace").decode()).strip()[:_LONGEST]
    return Actor(operator=f"{given} as {account}" if given else account)
