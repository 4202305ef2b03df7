"""What a check of the doctor raises."""


class Ailment(Exception):
    """Something is wrong; `cure` says how to mend it."""

    def __init__(self, sentence: str, cure: str) -> None:
        super().__init__(sentence)
        self.cure = cure


class Risk(Ailment):
    """Everything works, and something should be changed all the same: the doctor warns, and ends with 0."""
