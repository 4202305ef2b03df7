"""Errors that a check raises."""


class CheckFailed(Exception):
    """A failed check; `remedy` is the command or the setting that fixes it."""

    def __init__(self, sentence: str, remedy: str) -> None:
        super().__init__(sentence)
        self.remedy = remedy


class CheckWarning(CheckFailed):
    """Everything works, but something should be changed: a warning."""
