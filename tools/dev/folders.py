"""Folders of the embedded servers, placed where the account that runs them can reach them."""

import hashlib
import os
import secrets
import shutil
from pathlib import Path

from tools.dev.account import Account
from tools.dev.programs import SYSTEM_HOME


def prepare_data_dir(data_dir: Path, account: Account | None) -> None:
    """Make `data_dir` if need be, closed to everyone but us and, to pass through, the servers' account."""
    data_dir.mkdir(parents=True, exist_ok=True)
    _close(data_dir, account)


def prepare_server_folder(folder: Path, account: Account | None) -> Path:
    """Make `folder` if need be and return it with links resolved.

    When `account` cannot reach that place (its parents are not ours to open), the folder is made below
    /var/lib/tulou and `folder` becomes a link to it.
    """
    if account is None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder.resolve()
    if not folder.is_symlink() and not folder.exists():
        _place(folder, account)
    if not folder.exists():
        # The data behind the link is gone, for example with another machine's disk: start over at the same place.
        folder.readlink().mkdir(parents=True)
    _close(folder, account)
    return folder.resolve()


def remove_server_folder(folder: Path) -> None:
    """Remove a server's folder and, where it is a link, what it leads to."""
    shutil.rmtree(folder.resolve(), ignore_errors=True)
    if folder.is_symlink():
        folder.unlink()


def give_to(account: Account | None, path: Path) -> None:
    """Make `account` the owner of `path`; nothing to do when the servers run as ourselves."""
    if account is not None:
        os.chown(path, account.uid, account.gid)


def _place(folder: Path, account: Account) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    if account.can_traverse(folder.parent):
        folder.mkdir()
        return
    # A name used once: a new checkout at an old path must not meet the old checkout's data.
    path_digest = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:12]
    home = SYSTEM_HOME / f"{folder.name}-{path_digest}-{secrets.token_hex(3)}"
    home.mkdir(parents=True)
    SYSTEM_HOME.chmod(0o755)
    folder.symlink_to(home)


def _close(folder: Path, account: Account | None) -> None:
    if account is None:
        folder.chmod(0o700)
        return
    os.chown(folder, -1, account.gid)
    folder.chmod(0o710)
