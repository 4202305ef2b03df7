"""Errors of requests that the mode refuses."""

from shared.errors import Unavailable


class ReadOnly(Unavailable):
    """A request that may change something, while the program only reads."""

    code = "server.read_only"
    detail = "Nothing can be changed at the moment; reading works. Try again later."


class UnderMaintenance(Unavailable):
    """Any request during maintenance."""

    code = "server.maintenance"
    detail = "This service is under maintenance. Try again later."
