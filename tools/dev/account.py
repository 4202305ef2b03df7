"""Under which account the embedded servers run.

PostgreSQL refuses to run as root. So as root the servers get a system user of their own; as anyone else they
run as that person.
"""

import functools
import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

USER_NAME = "tulou"
FALLBACK_NAME = "nobody"


@dataclass(frozen=True)
class Account:
    """A user of this machine, other than the current one."""

    name: str
    uid: int
    gid: int

    def can_traverse(self, directory: Path) -> bool:
        """Return whether this user can pass through `directory` and each of its parents."""
        return self.runs(["sh", "-c", 'test -x "$0"', str(directory)])

    def runs(self, command: list[str]) -> bool:
        """Run `command` as this user and return whether it succeeded; the kernel decides."""
        try:
            finished = subprocess.run(  # noqa: S603 - own commands, no shell
                command,
                user=self.uid,
                group=self.gid,
                extra_groups=[],
                cwd="/",
                check=False,
                capture_output=True,
            )
        except PermissionError:
            return False
        return finished.returncode == 0


@functools.cache
def server_account() -> Account | None:
    """Return the account to switch to; None if the servers can run as the current user (not root)."""
    if os.geteuid() != 0:
        return None
    found = _look_up(USER_NAME) or _create(USER_NAME)
    if found is not None:
        return found
    sys.stderr.write(
        f"The user {USER_NAME!r} could not be created; the embedded servers run as {FALLBACK_NAME!r} "
        "instead, whose files other services on this machine may share.\n"
    )
    return _look_up(FALLBACK_NAME)


def _look_up(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name, entry.pw_uid, entry.pw_gid)


def _create(name: str) -> Account | None:
    nowhere = ["--home-dir", "/nonexistent", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    commands = [
        ["useradd", "--system", "--user-group", *nowhere, name],
        ["adduser", "-S", "-D", "-H", name],  # BusyBox
    ]
    for command in commands:
        if shutil.which(command[0]) is not None:
            subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - fixed arguments
            return _look_up(name)
    return None
