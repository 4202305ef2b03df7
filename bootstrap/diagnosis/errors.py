"""Errors that a check raises."""


class CheckFailed(Exception):
    """A failed check; `cure` is the command or the setting that fixes it."""

    def __init__(self, sentence: str, cure: str) -> None:
        super().__init__(sentence)
        self.cure = cure


class CheckWarning(CheckFailed):
    """Everything works, but something should be changed: a warning."""
