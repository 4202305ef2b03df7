"""Version of Tulou, and the commit that it was built from."""

import os
from importlib.metadata import version

BUILD = "TULOU_BUILD"
"""Variable that names the commit. The image has it."""


def release() -> str:
    """Return the version, and the commit where it is known: `0.1.0 (8f3c2d1)`."""
    commit = os.environ.get(BUILD)
    return f"{version('tulou')} ({commit})" if commit else version("tulou")
