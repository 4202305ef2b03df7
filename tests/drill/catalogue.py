"""All rehearsals: importing this enters them, in the order of the page."""

from tests.drill import backups, databases, keys, releases  # noqa: F401
