"""Checks of Redis: connection, eviction policy, writing wake-ups, rights of the program's user."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from bootstrap.container import TulouContainer
from bootstrap.diagnosis.errors import CheckFailed, CheckWarning
from bootstrap.diagnosis.places import Place, causes, place_of, unreachable
from bootstrap.settings.model import Settings
from domains.jobs.gateway.wake_ups import KEY_PREFIX, is_of_wrong_type, reason_of
from shared.ids import new_id

PATIENCE = 2.0
"""Time limit in seconds for each reply of Redis."""

_USER = "Give TULOU_REDIS_URL a user of its own: docs/many-machines.md has its line."


def redis_place(settings: Settings) -> Place:
    """Return the address of Redis in the settings."""
    return place_of("Redis", "TULOU_REDIS_URL", _url_of(settings))


async def server_configuration(container: TulouContainer) -> str:
    """Check that Redis responds, evicts no keys, and requires a password."""
    settings = container.settings()
    place = redis_place(settings)
    async with connect(settings) as redis:
        await redis.ping()
        policy = (await redis.info("memory")).get("maxmemory_policy")
    if policy != "noeviction":
        raise CheckFailed(
            f"{place} may drop wake-ups: its maxmemory-policy is {policy}.",
            "Set it in redis.conf and at once: CONFIG SET maxmemory-policy noeviction.",
        )
    if settings.env == "production" and await _allows_anonymous(_url_of(settings)):
        raise CheckFailed(
            f"{place} accepts connections without a password.",
            "Set requirepass in redis.conf, or ACLs without a default user, and put the password into TULOU_REDIS_URL.",
        )
    return f"{place}, noeviction"


async def accepts_wake_ups(container: TulouContainer) -> str:
    """Write, count and delete a wake-up like the program, and check the list of each queue."""
    settings = container.settings()
    place, probe = redis_place(settings), f"{KEY_PREFIX}doctor:{new_id()}"
    async with connect(settings) as redis:
        try:
            await redis.lpush(probe, "a wake-up")
            await redis.delete(probe)
        except ResponseError as error:
            raise _write_refused(place, error) from error
        invalid = [queue for queue in container.registry().queues() if await _has_wrong_type(redis, queue)]
    if invalid:
        keys = ", ".join(KEY_PREFIX + queue for queue in invalid)
        raise CheckWarning(
            f"{place} has no list at {keys}: wake-ups can't be kept there.",
            "A running relay deletes these keys. Find out which program wrote them: only Tulou should use them.",
        )
    return "written and read"


async def user_privileges(container: TulouContainer) -> str:
    """Check that the program's user has no rights of an administrator. Only reads."""
    settings = container.settings()
    async with connect(settings) as redis:
        try:
            await redis.config_get("maxmemory")
        except NoPermissionError:
            return "may not administer it"
        except ResponseError:  # a provider that has renamed the command
            return "may not configure it"
    if settings.env != "production":
        return "may administer it (fine outside production)"
    raise CheckWarning(f"The program's user at {redis_place(settings)} may run CONFIG.", _USER)


def _write_refused(place: Place, error: ResponseError) -> CheckWarning:
    late = "jobs start late, by the database alone"
    if isinstance(error, OutOfMemoryError):
        return CheckWarning(
            f"{place} has no memory left for wake-ups ({reason_of(error)}): {late}.",
            "Raise maxmemory in redis.conf and at once by CONFIG SET maxmemory, or move other programs' keys out.",
        )
    if isinstance(error, ReadOnlyError):
        return CheckWarning(
            f"{place} is a read-only replica ({reason_of(error)}): {late}.",
            "Put the host of the primary into TULOU_REDIS_URL, or promote this one: REPLICAOF NO ONE.",
        )
    if isinstance(error, NoPermissionError):
        return CheckWarning(
            f"{place} denies its user a command that wake-ups need ({reason_of(error)}): {late}.", _USER
        )
    return CheckWarning(
        f"{place} takes no wake-ups ({reason_of(error)}): {late}.", "Look at Redis' log for that word."
    )


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Redis]:
    """Connect, and name the cause if that fails."""
    place, url = redis_place(settings), _url_of(settings)
    try:
        async with _connected(url) as redis:
            yield redis
    except (RedisError, OSError) as error:
        raise await _refused(place, url, error) from error


async def _refused(place: Place, url: str, error: Exception) -> CheckFailed:
    user = unquote(urlsplit(url).username or "") or "default"
    found = list(causes(error))
    if any(isinstance(each, AuthenticationError) for each in found):
        return CheckFailed(
            f"{place} refuses the password of user {user}.",
            "Put user and password of redis.conf (requirepass) or of its ACL file into TULOU_REDIS_URL.",
        )
    if any(isinstance(each, NoPermissionError) for each in found):
        return CheckFailed(f"{place} denies user {user} a command that the program needs.", _USER)
    if any(isinstance(each, BusyLoadingError) for each in found):
        return CheckFailed(f"{place} is loading its data.", "Wait until it has started.")
    if isinstance(error, ResponseError):
        return CheckFailed(f"{place} refuses ({reason_of(error)}).", "Look at Redis' log for that word.")
    failure = await unreachable(place)
    return failure or CheckFailed(
        f"{place} accepts connections but does not reply like Redis ({type(error).__name__}).",
        "Check that Redis and no other program listens there, and that rediss:// in TULOU_REDIS_URL is used exactly"
        " where Redis asks for TLS; restart Redis if it hangs.",
    )


async def _has_wrong_type(redis: Redis, queue: str) -> bool:
    try:
        await redis.llen(KEY_PREFIX + queue)
    except ResponseError as error:
        return is_of_wrong_type(error)
    return False


async def _allows_anonymous(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return False
    anonymous_url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    try:
        async with _connected(anonymous_url) as redis:
            return bool(await redis.ping())
    except (AuthenticationError, ResponseError):
        return False


def _url_of(settings: Settings) -> str:
    return settings.redis_url.get_secret_value() if settings.redis_url else ""


def _connected(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
