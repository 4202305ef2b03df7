"""Secrets of a development machine: generated once, stored in the data folder, never in the repository."""

import base64
import os
from pathlib import Path

from bootstrap.settings.private_files import write_private_once

FILE_NAME = "secrets.env"


def ensure_secrets(data_dir: Path) -> Path:
    """Return the file of secrets in `data_dir`, made with mode 0600 if it was not there.

    It holds TULOU_SIGNING_KEYS (an Ed25519 seed of 32 bytes), TULOU_SIGNING_KEYS_ES256 (a P-256 private key),
    TULOU_TOKEN_KEYS (32 bytes) and TULOU_MAIL_KEYS (a Fernet key, 32 bytes), each in padded base64url,
    one `NAME=value` per line.
    """
    path = data_dir / FILE_NAME
    if not path.exists():
        names = ("TULOU_SIGNING_KEYS", "TULOU_SIGNING_KEYS_ES256", "TULOU_TOKEN_KEYS", "TULOU_MAIL_KEYS")
        write_private_once(path, "".join(f"{name}={_new_key()}\n" for name in names))
    return path


def read_environment_file(path: Path) -> dict[str, str]:
    """Read the `NAME=value` lines of a file that this package wrote."""
    lines = (line for line in path.read_text(encoding="utf-8").splitlines() if "=" in line)
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def _new_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()
