"""What the application's role may do: read and write rows, in every domain's schema, nothing more."""

from sqlalchemy import Connection, text

_SCHEMAS = text(
    "SELECT nspname FROM pg_namespace WHERE nspowner = current_user::regrole"
    " AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
)


def grant_to_application(connection: Connection, role: str | None) -> None:
    """Let the role use what the owner's migrations made. None: the application uses the owner's role itself."""
    if role is None:
        return
    quoted = connection.dialect.identifier_preparer.quote(role)
    connection.execute(text(f"GRANT SELECT ON alembic_version TO {quoted}"))
    for (schema,) in connection.execute(_SCHEMAS).all():
        name = connection.dialect.identifier_preparer.quote(schema)
        connection.execute(text(f"GRANT USAGE ON SCHEMA {name} TO {quoted}"))
        connection.execute(
            text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO {quoted}")
        )
