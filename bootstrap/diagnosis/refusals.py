"""Explanations of PostgreSQL's errors: each SQLSTATE with its cause and its remedy."""

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from bootstrap.diagnosis.errors import CheckFailed
from bootstrap.diagnosis.places import Place, causes, unreachable


class _Refusal(NamedTuple):
    """Formats of both sentences: `role`, `database` and `setting` are filled in."""

    sentence: str
    remedy: str


_CONNECTIONS = _Refusal(
    "has no connection left for role {role} and database {database}",
    "Raise max_connections, or the connection limit of that role or database; or start fewer processes, or lower"
    " TULOU_DATABASE_POOL and TULOU_DATABASE_WORKER_POOL.",
)
_REFUSALS = {
    "28P01": _Refusal(
        "refuses the password of role {role}",
        "Put the right password into {setting}, or set it as a superuser: ALTER ROLE {role} PASSWORD '...'.",
    ),
    "28000": _Refusal(
        "does not let role {role} connect",
        "Make the role (deploy/compose/roles.sql) and allow it to log in; allow this machine in pg_hba.conf.",
    ),
    "3D000": _Refusal(
        "has no database {database}",
        "Correct the name at the end of {setting}, or as a superuser: CREATE DATABASE {database}.",
    ),
    "42501": _Refusal(
        "denies role {role} a right that it needs",
        "Run `tulou migrate` with TULOU_DATABASE_OWNER_URL set, which grants the rights; if the role can't connect, as"
        " a superuser: GRANT CONNECT ON DATABASE {database} TO {role}.",
    ),
    "42P01": _Refusal("lacks tables of this version in database {database}", "Run `tulou migrate`."),
    "3F000": _Refusal("lacks schemas of this version in database {database}", "Run `tulou migrate`."),
    "42703": _Refusal("lacks columns of this version in database {database}", "Run `tulou migrate`."),
    "53300": _CONNECTIONS,
    "53400": _CONNECTIONS,
    "53100": _Refusal("has no space left on its disk", "Make room on the disk of PostgreSQL's data folder."),
    "53200": _Refusal(
        "has no memory left", "Give PostgreSQL more memory, or lower work_mem or max_connections."
    ),
    "57P03": _Refusal(
        "is starting or stopping, or is a replica that takes no connections yet",
        "Wait until it has started; its log says what it is doing.",
    ),
    "25006": _Refusal(
        "is read-only",
        "Put the host of the primary into {setting}, or end default_transaction_read_only; until then set"
        " TULOU_MODE=read-only.",
    ),
}


def sqlstate_of(error: BaseException) -> str | None:
    """Return the SQLSTATE of an error or of what led to it."""
    for each in causes(error):
        if isinstance(state := getattr(each, "sqlstate", None), str):
            return state
    return None


def role_in(url: str) -> str:
    """Return the role of a URL."""
    return unquote(urlsplit(url).username or "")


def database_in(url: str) -> str:
    """Return the database of a URL; PostgreSQL's default is the role's name."""
    return unquote(urlsplit(url).path.lstrip("/")) or role_in(url)


async def refused(place: Place, url: str, error: Exception) -> CheckFailed:
    """Return why PostgreSQL can't be used: its own error, else whether the port accepts connections."""
    state = sqlstate_of(error)
    if state is not None:
        return _refusal(place, url, state)
    failure = await unreachable(place)
    if failure is not None:
        return failure
    if any(
        type(each) is ConnectionError for each in causes(error)
    ):  # asyncpg's message when the server rejects TLS
        return CheckFailed(
            f"{place} offers no TLS, which sslmode in {place.setting} asks for.",
            f"Set ssl = on in postgresql.conf, or take sslmode out of {place.setting}.",
        )
    return CheckFailed(
        f"{place} accepts connections but does not respond ({type(error).__name__}).",
        "Look at PostgreSQL's log and at the load of its machine; restart it if it hangs.",
    )


def _refusal(place: Place, url: str, state: str) -> CheckFailed:
    refusal = _REFUSALS.get(state) or _REFUSALS.get(f"{state[:2]}000")
    if refusal is None:
        return CheckFailed(
            f"{place} refuses with SQLSTATE {state}.", "Look at PostgreSQL's log for the statement."
        )
    names = {"role": role_in(url), "database": database_in(url), "setting": place.setting}
    return CheckFailed(
        f"{place} {refusal.sentence.format_map(names)} (SQLSTATE {state}).", refusal.remedy.format_map(names)
    )
