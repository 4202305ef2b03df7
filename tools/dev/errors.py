"""What can go wrong with the embedded services, each as one sentence for the person at the terminal."""


class EmbeddedError(Exception):
    """An embedded service cannot do its work; the message is a full sentence that says what to do."""


class MissingProgram(EmbeddedError):
    """The wheel that brings a server's program is not installed."""


class PortTaken(EmbeddedError):
    """Another program listens on the configured port."""


class ServerFailed(EmbeddedError):
    """A server did not start, or ended before anyone asked it to."""


class AlreadyRunning(EmbeddedError):
    """Another process of Tulou already uses the same folder."""
