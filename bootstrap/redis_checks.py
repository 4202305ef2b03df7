"""Redis checks of `tulou doctor`: whether hints are kept, who may connect, and what the program's user may do."""

from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from bootstrap.ailment import Ailment, Risk
from bootstrap.container import TulouContainer
from domains.jobs.gateway.hints import KEY_PREFIX, is_of_wrong_type, reason_of
from shared.ids import new_id

_USER = "Give TULOU_REDIS_URL a user of its own: docs/many-machines.md has its line."
_NO_MODE = "NEITHER-SYNC-NOR-ASYNC"
"""An argument that FLUSHALL refuses, after rights were checked and before anything is deleted."""


async def keeps_hints(container: TulouContainer) -> str:
    """Check that Redis answers, evicts nothing, and asks for a password."""
    async with _connected(_url_of(container)) as redis:
        await redis.ping()
        policy = (await redis.info("memory")).get("maxmemory_policy")
    if policy != "noeviction":
        raise Ailment(f"Redis may drop hints (policy {policy}).", "Set maxmemory-policy to noeviction.")
    if container.settings().env == "production" and await _lets_anybody_in(_url_of(container)):
        raise Ailment(
            "Redis lets anybody in.", "Set a password (requirepass, or ACLs without a default user)."
        )
    return "reachable, noeviction"


async def takes_hints(container: TulouContainer) -> str:
    """Write, count and delete a hint as the program does; look at the list of each queue."""
    probe = f"{KEY_PREFIX}doctor:{new_id()}"
    async with _connected(_url_of(container)) as redis:
        try:
            await redis.lpush(probe, "a hint")
            await redis.delete(probe)
        except ResponseError as error:
            raise Risk(
                f"Redis takes no hints ({reason_of(error)}): jobs start late, by the database alone.",
                "Let it write (no replica, memory left), and " + _USER[0].lower() + _USER[1:],
            ) from error
        spoilt = [queue for queue in container.registry().queues() if await _is_spoilt(redis, queue)]
    if spoilt:
        keys = ", ".join(KEY_PREFIX + queue for queue in spoilt)
        raise Risk(
            f"Redis has no list at {keys}: hints can't be kept there.",
            "A running relay deletes these keys. Find out which program wrote them: only Tulou should use them.",
        )
    return "written and read"


async def may_only_hint(container: TulouContainer) -> str:
    """Check that the program's user can't empty Redis."""
    async with _connected(_url_of(container)) as redis:
        try:
            await redis.execute_command("FLUSHALL", _NO_MODE)  # type: ignore[no-untyped-call]  # redis-py's
        except NoPermissionError:
            return "may not empty it"
        except ResponseError:
            pass
    if container.settings().env != "production":
        return "may empty it (fine outside production)"
    raise Risk("The program's user of Redis may run FLUSHALL.", _USER)


async def _is_spoilt(redis: Redis, queue: str) -> bool:
    try:
        await redis.llen(KEY_PREFIX + queue)
    except ResponseError as error:
        return is_of_wrong_type(error)
    return False


async def _lets_anybody_in(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return False
    stranger = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    try:
        async with _connected(stranger) as redis:
            return bool(await redis.ping())
    except (AuthenticationError, ResponseError):
        return False


def _url_of(container: TulouContainer) -> str:
    url = container.settings().redis_url
    return url.get_secret_value() if url else ""


def _connected(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
