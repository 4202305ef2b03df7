"""All rehearsals: importing this enters them."""

from tools.drill import alarms, backups, databases, keys, releases  # noqa: F401
