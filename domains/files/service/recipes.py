"""What is made of which type of file."""

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
"""What is encoded here and may be shown inside a page."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one rendition is made: the renderer's operation, and the longest side in pixels of a picture."""

    name: str
    operation: str
    content_type: str
    size: int = 0

    def storage_key(self, file_id: UUID) -> str:
        """Return where it is stored: made again it takes the same place."""
        return f"renditions/{file_id}/{self.name}"


SEVERAL_AT_ONCE = frozenset({"render_image"})
"""Operations that make all sizes of one decoding."""
_OF_IMAGES = (
    Recipe("thumb", "render_image", WEBP, 256),
    Recipe("small", "render_image", WEBP, 1024),
    Recipe("large", "render_image", WEBP, 2048),
)
_OF_DOCUMENTS = (
    Recipe("preview", "render_document", WEBP, 1024),
    Recipe("text", "extract_text", TEXT),
)


def recipes_for(content_type: str | None) -> tuple[Recipe, ...]:
    """Return what is made of a file of this type; nothing of most."""
    if content_type in IMAGES:
        return _OF_IMAGES
    return _OF_DOCUMENTS if content_type in DOCUMENTS else ()


def steps_for(content_type: str, *, without: Container[str]) -> tuple[tuple[Recipe, ...], ...]:
    """Return the recipes whose names are not in `without`, those together that one request makes."""
    missing = [recipe for recipe in recipes_for(content_type) if recipe.name not in without]
    groups = (
        tuple(group)
        for _, group in groupby(
            missing,
            key=lambda recipe: recipe.operation if recipe.operation in SEVERAL_AT_ONCE else recipe.name,
        )
    )
    return tuple(groups)


def measure_of(content_type: str) -> str:
    """Return the renderer's operation that tells the facts of a file, and refuses what can't be opened."""
    return "measure_image" if content_type in IMAGES else "measure_document"
