"""All rehearsals: importing this enters them."""

from tests.drill import alarms, backups, databases, keys, releases  # noqa: F401
