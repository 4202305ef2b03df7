"""GC tuning: freeze long-lived objects after start-up."""

import gc

YOUNG = 10_000
"""Objects that may be made before the young ones are looked through: some twenty requests' worth, not two."""

_MIDDLE, _OLD = 20, 50


def tune_gc() -> None:
    """Never look again through what is there now: call it once a process has started.

    Modules, routes and schemas are 200,000 objects that live as long as the process. Each full search through them
    stops it for a tenth of a second, which is then the slowest percent of all requests.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, _MIDDLE, _OLD)
