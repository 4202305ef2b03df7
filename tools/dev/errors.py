"""What can go wrong with the embedded services, each as one sentence for the person at the terminal."""


class EmbeddedError(Exception):
    """An embedded service cannot do its work; the message is a full sentence that says what to do."""


class MissingProgram(EmbeddedError):
    """The wheel that brings a server's program is not installed."""


class PortTaken(EmbeddedError):
    """Something else listens on a port that we were told to use."""


class ServerFailed(EmbeddedError):
    """A server did not start, or ended before anyone asked it to."""


class AlreadyRunning(EmbeddedError):
    """Another process of ours already uses the same folder."""
