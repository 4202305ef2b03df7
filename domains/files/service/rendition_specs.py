"""Which renditions are made of which type of file."""

from collections.abc import Container
from dataclasses import dataclass
from itertools import groupby
from uuid import UUID

IMAGES = frozenset(
    {"image/jpeg", "image/png", "image/webp", "image/gif", "image/tiff", "image/avif", "image/heic"}
)
DOCUMENTS = frozenset({"application/pdf"})
WEBP = "image/webp"
TEXT = "text/plain; charset=utf-8"
INLINE_TYPES = frozenset({WEBP})
"""Types that this server encodes itself, so that a browser may show them inline."""


@dataclass(frozen=True, slots=True)
class RenditionSpec:
    """How one rendition is made: the sandbox's operation, and the longest side of a picture in pixels."""

    name: str
    operation: str
    content_type: str
    size: int = 0

    def storage_key(self, file_id: UUID) -> str:
        """Return its key in the store; the same when it is made again."""
        return f"renditions/{file_id}/{self.name}"


BATCH_OPERATIONS = frozenset({"render_image"})
"""Operations that make all sizes from one decoding."""
_IMAGE_SPECS = (
    RenditionSpec("thumb", "render_image", WEBP, 256),
    RenditionSpec("small", "render_image", WEBP, 1024),
    RenditionSpec("large", "render_image", WEBP, 2048),
)
_DOCUMENT_SPECS = (
    RenditionSpec("preview", "render_document", WEBP, 1024),
    RenditionSpec("text", "extract_text", TEXT),
)


def rendition_specs_for(content_type: str | None) -> tuple[RenditionSpec, ...]:
    """Return the renditions of a type; most types have none."""
    if content_type in IMAGES:
        return _IMAGE_SPECS
    return _DOCUMENT_SPECS if content_type in DOCUMENTS else ()


def steps_for(content_type: str, *, without: Container[str]) -> tuple[tuple[RenditionSpec, ...], ...]:
    """Return the specs whose names are not in `without`, grouped by the request that makes them."""
    missing = [spec for spec in rendition_specs_for(content_type) if spec.name not in without]
    groups = (
        tuple(group)
        for _, group in groupby(
            missing,
            key=lambda spec: spec.operation if spec.operation in BATCH_OPERATIONS else spec.name,
        )
    )
    return tuple(groups)


def measure_operation(content_type: str) -> str:
    """Return the sandbox's operation that returns the facts of a file, or refuses it."""
    return "measure_image" if content_type in IMAGES else "measure_document"
