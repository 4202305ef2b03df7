"""`tulou init-env`: the secrets and settings that docker-compose.yml reads."""

import base64
import os
import secrets
from pathlib import Path

from bootstrap.settings.generated_secrets import read_environment_file
from bootstrap.settings.private_files import write_private_once

FOLDER = "secrets"
PASSWORDS = (
    "postgres_password",
    "database_owner_password",
    "database_application_password",
    "redis_password",
)
KEYS = ("signing_keys", "signing_keys_es256", "token_keys", "mail_keys")
SECRETS = (*PASSWORDS, *KEYS, "metrics_token", "smtp_url", "database_url", "database_owner_url", "redis_url")
"""The files of the folder `secrets`, each with one secret."""

_OF_SERVERS = """\
# Choices for docker-compose.yml. The secrets are in the folder `secrets`, the settings of Tulou in tulou.env.
# API_PORT=8000
# MAIL_PORT=8025
# COMPOSE_PROJECT_NAME=tulou
# BACKUPS=/mnt/backups
# For deploy/compose/production.yml:
# COMPOSE_FILE=docker-compose.yml:deploy/compose/production.yml
# API_DOMAIN=api.example.com
"""
_OF_TULOU = """\
# Settings, given to every process of Tulou; docs/settings.md lists them. Secrets are in the folder `secrets`.
TULOU_ENV=dev
TULOU_PUBLIC_URL=http://127.0.0.1:8000
# Production has to say which proxies' X-Forwarded-For is believed: their addresses or networks, or none.
# TULOU_TRUSTED_PROXIES=172.16.0.0/12
"""


class FilesAreThere(Exception):
    """Existing secrets are never overwritten: stored mails can't be decrypted without their keys."""


def write_environment_files(folder: Path) -> list[Path]:
    """Write `.env`, `tulou.env` and the folder `secrets`; return what was written.

    Secrets of an `.env` and a `tulou.env` that are there are taken over, and both files stay as they are.
    The folder has mode 0700. Its files have 0444: containers see them as they are, and read them as other users.

    Raises:
        FilesAreThere: there are secrets already. Nothing was written.
    """
    place = folder / FOLDER
    if place.exists():
        raise FilesAreThere(f"{place} exists and is not overwritten. Delete it to start over.")
    choices = {folder / ".env": _OF_SERVERS, folder / "tulou.env": _OF_TULOU}
    values = _fresh() | _taken_over([path for path in choices if path.exists()])
    values |= {
        "database_url": f"postgresql://tulou_app:{values['database_application_password']}@postgres:5432/tulou",
        "database_owner_url": f"postgresql://tulou_owner:{values['database_owner_password']}@postgres:5432/tulou",
        "redis_url": f"redis://:{values['redis_password']}@redis:6379/0",
    }
    place.mkdir(mode=0o700)
    for name in SECRETS:
        write_private_once(place / name, f"{values[name]}\n")
        (place / name).chmod(0o444)
    return [place, *(path for path, text in choices.items() if write_private_once(path, text))]


def _fresh() -> dict[str, str]:
    passwords = {name: secrets.token_hex(24) for name in (*PASSWORDS, "metrics_token")}
    return passwords | {name: _new_key() for name in KEYS} | {"smtp_url": "smtp://mail:1025"}


def _taken_over(files: list[Path]) -> dict[str, str]:
    """Return the secrets in the files of a version without the folder."""
    found = {name: value for path in files for name, value in read_environment_file(path).items() if value}
    names = {f"TULOU_{name.upper()}": name for name in (*KEYS, "metrics_token")}
    names |= {name.upper(): name for name in (*PASSWORDS, "smtp_url")} | {"TULOU_TOKEN_KEY": "token_keys"}
    return {names[variable]: value for variable, value in found.items() if variable in names}


def _new_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()
