"""Rights of the application's role: read and write rows of all domains, but not change the audit log."""

from sqlalchemy import Connection, text

NEEDED = ("SELECT", "INSERT", "UPDATE", "DELETE")
WITHHELD: dict[str, tuple[str, ...]] = {
    "auth.security_events": ("UPDATE", "DELETE"),
    "emails.attempts": ("UPDATE", "DELETE"),
    "emails.emails": ("DELETE",),
}
"""Rights that the application's role lacks, so that records of events can't be changed. (Deleting a mail deletes its
attempts.) Pruning and erasure use functions of the owner, which do nothing else.
"""

_SCHEMAS = text(
    "SELECT nspname FROM pg_namespace WHERE nspowner = current_user::regrole"
    " AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
)
_TABLE_RIGHTS = text(
    "SELECT DISTINCT privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END"
    " FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = to_regclass(:table) AND grantee <> relowner"
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
        connection.execute(text(f"GRANT {', '.join(NEEDED)} ON ALL TABLES IN SCHEMA {name} TO {quoted}"))
        connection.execute(text(f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {name} TO {quoted}"))
    for table, rights in WITHHELD.items():
        _withhold(connection, table, rights)


def _withhold(connection: Connection, table: str, rights: tuple[str, ...]) -> None:
    """Take rights away from whichever role has them, also from one that was the application's before."""
    for right, grantee in connection.execute(_TABLE_RIGHTS, {"table": table}).all():
        if right in rights:
            connection.execute(text(f"REVOKE {right} ON {table} FROM {grantee}"))
