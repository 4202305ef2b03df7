"""Explains why a command can't use the database, in one sentence: host, port, reason and remedy."""

import asyncio

import asyncpg
from sqlalchemy.exc import DBAPIError

from bootstrap.diagnosis.places import place_of
from bootstrap.diagnosis.refusals import database_in, refused, role_in
from bootstrap.settings.model import Settings
from shared.errors import Outage
from shared.outages import outage_of

FAILURES = (OSError, DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""Exceptions of the driver and of SQLAlchemy."""


def failure_of_owner(settings: Settings, error: Exception) -> str:
    """Say why the owner's role can't do what a command asked of PostgreSQL, and how to fix it.

    It may have to connect once more to find out, for 3 s at most, and must not be called where an event loop runs.
    """
    url = settings.database_owner_url or settings.database_url
    if url is None:
        return "TULOU_DATABASE_URL is not set: there is no database."
    setting = "TULOU_DATABASE_OWNER_URL" if settings.database_owner_url else "TULOU_DATABASE_URL"
    plain = url.get_secret_value()
    failure = asyncio.run(refused(place_of("PostgreSQL", setting, plain), plain, error))
    if outage_of(error) is not Outage.NO_RIGHTS:
        return f"{failure} {failure.remedy}"
    role, database = role_in(plain), database_in(plain)
    return (
        f"{failure} Put the role that owns database {database} into {setting}, or as a superuser: ALTER DATABASE"
        f" {database} OWNER TO {role}; GRANT CONNECT ON DATABASE {database} TO {role}."
    )
