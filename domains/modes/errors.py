"""Errors of requests that the mode refuses."""

from shared.errors import Unavailable


class ReadOnly(Unavailable):
    """Operators have switched the service to read-only mode, and the request may change something."""

    code = "server.read_only"
    remedy = "Read, or send the request again later."
    detail = "The service is read-only at the moment. Try again later."


class UnderMaintenance(Unavailable):
    """Operators have switched the service to maintenance."""

    code = "server.maintenance"
    detail = "The service is under maintenance. Try again later."
