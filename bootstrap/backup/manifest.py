"""The manifest of a backup. It is written last: a folder without it is not a complete backup.

These files are untrusted: anyone with write access to the backup's location can forge them. Table names must be plain
identifiers, keys must stay inside the backup, and numbers must be in the range of PostgreSQL and the store.
"""

import hashlib
import json
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bootstrap.migrations.lineage import Lineage
from bootstrap.settings.model import Settings

NAME = "manifest.json"
LARGEST = 64 << 20
"""Largest size of a manifest in bytes; it lists the objects that the store has lost."""

_BIGGEST = (1 << 63) - 1
_KEY = r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*"


def _is_inside(key: str) -> str:
    if ".." in key:
        message = "a key has no .."
        raise ValueError(message)
    return key


SqlName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
SequenceName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}\.[a-z_][a-z0-9_]{0,62}$")]
Key = Annotated[str, Field(max_length=500, pattern=rf"^{_KEY}$"), AfterValidator(_is_inside)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=_BIGGEST)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Part(_Strict):
    """One object of the backup, as it is stored (compressed)."""

    bytes: Count
    sha256: Digest


class TablePart(Part):
    """The rows of one table, in the text format of COPY."""

    schema_name: SqlName
    name: SqlName
    columns: list[SqlName]
    rows: Count

    @property
    def full_name(self) -> str:
        """Schema and name."""
        return f"{self.schema_name}.{self.name}"

    @property
    def key(self) -> str:
        """Where it is in the backup."""
        return f"database/{self.full_name}.copy.gz"


class FilesPart(_Strict):
    """The objects of the store that the database names. `absent` ones are named, but the store has lost them."""

    count: Count
    bytes: Count
    absent: list[Key]
    listing: Part


class ListedObject(_Strict):
    """A line of the listing: one object that the database names."""

    storage_key: Key
    size: Count
    sha256: Digest | None

    @property
    def key(self) -> str:
        """Where it is in the backup."""
        return f"files/{self.storage_key}"


def _are_different(tables: list[TablePart]) -> list[TablePart]:
    if len({table.full_name for table in tables}) < len(tables):
        message = "a table comes twice"
        raise ValueError(message)
    return tables


class Manifest(_Strict):
    """Everything that a restore checks before it changes anything."""

    format: Literal[1] = 1
    program: str = Field(pattern=r"^[0-9A-Za-z.+!_-]{1,64}$")
    revision: str = Field(pattern=r"^[0-9A-Za-z_]{1,64}$")
    lineage: Lineage | None = None
    postgres: int = Field(ge=1, le=1000)
    taken_at: datetime
    tables: Annotated[list[TablePart], AfterValidator(_are_different)]
    sequences: dict[SequenceName, Annotated[int, Field(ge=-_BIGGEST - 1, le=_BIGGEST)]]
    files: FilesPart | None
    secrets: dict[Annotated[str, Field(pattern=r"^TULOU_[A-Z0-9_]{1,64}$")], str]


def read_manifest(text: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        ValueError: it is none, or a member comes twice.
        RecursionError: it is nested too deeply.
    """
    json.loads(text, object_pairs_hook=_once_each)
    return Manifest.model_validate_json(text)


def _once_each(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        message = "a member comes twice"
        raise ValueError(message)
    return found


def fingerprints(settings: Settings) -> dict[str, str]:
    """Return fingerprints that show whether secrets are equal. Secrets are random, so a hash reveals nothing."""
    secrets = {
        "TULOU_SIGNING_KEYS": ",".join(settings.plain_signing_keys),
        "TULOU_SIGNING_KEYS_ES256": ",".join(settings.plain_signing_keys_es256),
        "TULOU_TOKEN_KEYS": ",".join(settings.plain_token_keys),
        "TULOU_MAIL_KEYS": ",".join(settings.plain_mail_keys),
    }
    return {
        name: hashlib.sha256(f"tulou {value}".encode()).hexdigest()[:16] for name, value in secrets.items()
    }
