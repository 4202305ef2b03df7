"""Errors of requests about users."""

from shared.errors import NotFound


class UserNotFound(NotFound):
    """The user does not exist, or was deleted a moment ago."""

    code = "users.not_found"
    detail = "No user has this id."
