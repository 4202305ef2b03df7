"""What a check raises."""


class Ailment(Exception):
    """Something is wrong; `cure` is the command or the setting that mends it."""

    def __init__(self, sentence: str, cure: str) -> None:
        super().__init__(sentence)
        self.cure = cure


class Risk(Ailment):
    """Everything works, but something should be changed: a warning."""
