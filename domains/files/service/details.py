"""Limits of tags and metadata."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from domains.files.errors import DetailsRefused
from domains.files.settings import FilesSettings
from shared.http.strict_json import values_in


def check_details(
    settings: FilesSettings, *, tags: Sequence[str] | None, metadata: Mapping[str, Any] | None
) -> None:
    """Raise DetailsRefused if there are too many tags or too much metadata."""
    if len(tags or ()) > settings.files_max_tags:
        raise DetailsRefused(f"A file can have at most {settings.files_max_tags} tags.")
    if metadata is None:
        return
    if (
        len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode())
        > settings.files_max_metadata_bytes
    ):
        raise DetailsRefused(f"Metadata can have at most {settings.files_max_metadata_bytes} bytes of JSON.")
    # A page of the list reads and writes the metadata of a hundred files.
    if sum(1 for _ in values_in(metadata)) > settings.files_max_metadata_values:
        raise DetailsRefused(
            f"Metadata can have at most {settings.files_max_metadata_values} members and elements."
        )
