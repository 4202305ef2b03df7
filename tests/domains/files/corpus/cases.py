"""A case of the corpus: a file and its expected results."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PIL import Image


@dataclass(frozen=True)
class Case:
    """A small file and what must come out of it.

    `facts` are those of the whole file. `shown` is how its picture or first page looks, made by Pillow alone, with the
    mean difference of a channel (0 to 255) that is `allowed`. `text` is the whole text. `problem` is the code of the
    error of everything that is made of it, after the facts if there are any.
    """

    name: str
    make: Callable[[], bytes]
    type: str
    facts: dict[str, Any] = field(default_factory=dict)
    shown: Callable[[], Image.Image] | None = None
    allowed: float = 4
    text: str | None = None
    problem: str | None = None
    damaged: bool = False
