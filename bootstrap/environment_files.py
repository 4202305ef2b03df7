"""`tulou init-env`: the two files of secrets and settings that docker-compose.yml reads."""

import base64
import os
import secrets
from pathlib import Path

from bootstrap.embedded.private_files import write_private_once

PASSWORDS = (
    "POSTGRES_PASSWORD",
    "DATABASE_OWNER_PASSWORD",
    "DATABASE_APPLICATION_PASSWORD",
    "REDIS_PASSWORD",
)
KEYS = ("TULOU_SIGNING_KEYS", "TULOU_SIGNING_KEYS_ES256", "TULOU_TOKEN_KEY", "TULOU_MAIL_KEYS")
_OF_SERVERS = """\
# Passwords of the servers that docker-compose.yml starts, and what else it asks for. Nobody but you may read this file.
# API_PORT=8000
# MAIL_PORT=8025
# COMPOSE_PROJECT_NAME=tulou
# BACKUPS=/mnt/backups
"""
_OF_TULOU = """\
# Settings, given to every process of Tulou; docs/settings.md tells all of them. Nobody but you may read this file.
TULOU_ENV=dev
TULOU_PUBLIC_URL=http://127.0.0.1:8000
SMTP_URL=smtp://mail:1025
# Production has to say which proxies' X-Forwarded-For is believed: their addresses or networks, or none.
# TULOU_TRUSTED_PROXIES=172.16.0.0/12
"""


class FilesAreThere(Exception):
    """Secrets are never written over: with the old keys gone, stored mails can't be read any more."""


def write_environment_files(folder: Path) -> tuple[Path, Path]:
    """Write `.env` and `tulou.env` with fresh secrets and mode 0600; return their paths.

    Raises:
        FilesAreThere: one of them exists already. Nothing was written.
    """
    servers, tulou = folder / ".env", folder / "tulou.env"
    there = [str(path) for path in (servers, tulou) if path.exists()]
    if there:
        raise FilesAreThere(f"{' and '.join(there)} will not be written over. Delete them to begin anew.")
    passwords = "".join(f"{name}={secrets.token_hex(24)}\n" for name in PASSWORDS)
    keys = "".join(f"{name}={_new_key()}\n" for name in KEYS)
    write_private_once(servers, _OF_SERVERS + passwords)
    write_private_once(tulou, _OF_TULOU + keys)
    return servers, tulou


def _new_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()
