"""What a backup says about itself. It is written last: without it a folder is no backup."""

import hashlib
from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from bootstrap.settings import Settings

NAME = "manifest.json"


class Part(BaseModel):
    """One object of the backup, as it is stored (compressed)."""

    bytes: int
    sha256: str


class TablePart(Part):
    """The rows of one table, in the text format of COPY."""

    schema_name: str
    name: str
    columns: list[str]
    rows: int

    @property
    def key(self) -> str:
        """Where it is in the backup."""
        return f"database/{self.schema_name}.{self.name}.copy.gz"


class FilesPart(BaseModel):
    """The objects of the store that the database names. `absent` ones are named, but the store has lost them."""

    count: int
    bytes: int
    absent: list[str]
    listing: Part


class Manifest(BaseModel):
    """Everything that a restore needs to know before it changes anything."""

    format: Literal[1] = 1
    program: str
    revision: str
    postgres: int
    taken_at: datetime
    tables: list[TablePart]
    sequences: dict[str, int]
    files: FilesPart | None
    secrets: dict[str, str]


def fingerprints(settings: Settings) -> dict[str, str]:
    """Return what tells whether secrets are the same ones; they are random, so a hash gives nothing away."""
    secrets = {
        "TULOU_SIGNING_KEYS": ",".join(settings.plain_signing_keys),
        "TULOU_SIGNING_KEYS_ES256": ",".join(settings.plain_signing_keys_es256),
        "TULOU_TOKEN_KEY": settings.plain_token_key,
        "TULOU_MAIL_KEYS": ",".join(settings.plain_mail_keys),
    }
    return {
        name: hashlib.sha256(f"tulou {value}".encode()).hexdigest()[:16] for name, value in secrets.items()
    }
