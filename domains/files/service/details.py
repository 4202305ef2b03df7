"""The limits of what a client may say about a file."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from domains.files.errors import DetailsRefused
from domains.files.settings import FilesSettings
from shared.http.strict_json import values_in


def check_details(
    settings: FilesSettings, *, tags: Sequence[str] | None, metadata: Mapping[str, Any] | None
) -> None:
    """Raise DetailsRefused when there are too many tags or too much metadata, as JSON without spaces."""
    if tags is not None and len(tags) > settings.files_max_tags:
        raise DetailsRefused(f"A file can have at most {settings.files_max_tags} tags.")
    size = (
        0
        if metadata is None
        else len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode())
    )
    if size > settings.files_max_metadata_bytes:
        raise DetailsRefused(f"Metadata can have at most {settings.files_max_metadata_bytes} bytes of JSON.")
    # A list of files reads and writes the metadata of a hundred at once.
    if metadata is not None and sum(1 for _ in values_in(metadata)) > settings.files_max_metadata_values:
        raise DetailsRefused(
            f"Metadata can have at most {settings.files_max_metadata_values} members and elements."
        )
