"""The search for garbage, told what a running process is made of."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 10_000
"""Objects that may be made before the young ones are looked through: some twenty requests' worth, not two."""

_MIDDLE, _OLD = 20, 50


@contextmanager
def loading() -> Iterator[None]:
    """Search for none while the program is loaded, then once, and never again through what is there by then.

    Nearly all that is made meanwhile stays, and would be gone through again and again: a sixth of a start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def set_garbage_collection() -> None:
    """Never look again through what is there now: call it once a process has started.

    Modules, routes and schemas are 200,000 objects that live as long as the process. Each full search through them
    stops it for a tenth of a second, which is then the slowest percent of all requests.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, _MIDDLE, _OLD)
