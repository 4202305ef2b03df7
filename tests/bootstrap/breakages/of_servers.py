"""Breakages of Redis, the mail server and the file store: unavailable or refusing."""

import asyncio
import logging
import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from pydantic import SecretStr
from redis.asyncio import Redis

from tests.bootstrap.breakages.lab import NOWHERE, Broken, Lab, breakage
from tests.bootstrap.breakages.of_database import silent_server
from tests.certificates import self_signed

PASSWORD = ("TULOU_REDIS_URL",)
SMTP_URL = ("SMTP_URL",)


def redis_at(url: str, **more: Any) -> Broken:
    return Broken({"redis_url": SecretStr(url), **more})


async def _configured(lab: Lab, name: str, value: str, usual: str, **more: Any) -> AsyncIterator[Broken]:
    async with Redis.from_url(lab.valkey.url) as redis:
        await redis.config_set(name, value)
        try:
            yield redis_at(lab.valkey.url, **more)
        finally:
            await redis.config_set(name, usual)


@breakage("redis", says=(NOWHERE, "ECONNREFUSED"), cures=("Start Redis", "TULOU_REDIS_URL"))
async def redis_away(_lab: Lab) -> AsyncIterator[Broken]:
    yield redis_at(f"redis://{NOWHERE}/0")


@breakage("redis", says=("127.0.0.1:", "refuses the password of user default"), cures=PASSWORD)
async def wrong_password_of_redis(lab: Lab) -> AsyncIterator[Broken]:
    yield redis_at(f"redis://:wrong@{lab.valkey.url.rpartition('@')[2]}")


@breakage("redis", says=("127.0.0.1:", "refuses the password of user default"), cures=PASSWORD)
async def no_password_for_redis(lab: Lab) -> AsyncIterator[Broken]:
    yield redis_at(f"redis://{lab.valkey.url.rpartition('@')[2]}")


@breakage("redis", says=("127.0.0.1:", "does not reply like Redis"), cures=("TULOU_REDIS_URL",))
async def another_program_than_redis(lab: Lab) -> AsyncIterator[Broken]:
    yield redis_at(lab.servers.catcher.url.replace("smtp://", "redis://"))


@breakage("redis", says=("127.0.0.1:", "accepts connections"), cures=("restart Redis if it hangs",))
async def redis_that_says_nothing(_lab: Lab) -> AsyncIterator[Broken]:
    async with silent_server() as where:
        yield redis_at(f"redis://{where}/0", doctor_patience=60)


@breakage(
    "hints", says=("127.0.0.1:", "NoPermissionError"), cures=("docs/many-machines.md",), state="warning"
)
async def user_of_redis_without_rights(lab: Lab) -> AsyncIterator[Broken]:
    async with Redis.from_url(lab.valkey.url) as redis:
        await redis.execute_command("ACL", "SETUSER", "weak", "on", ">weak-one", "~*", "+@all", "-lpush")
        yield redis_at(f"redis://weak:weak-one@{lab.valkey.url.rpartition('@')[2]}")
        await redis.execute_command("ACL", "DELUSER", "weak")


@breakage("redis", says=("127.0.0.1:", "user weak"), cures=("docs/many-machines.md",))
async def user_of_redis_that_may_not_even_ask(lab: Lab) -> AsyncIterator[Broken]:
    async with Redis.from_url(lab.valkey.url) as redis:
        await redis.execute_command("ACL", "SETUSER", "weak", "on", ">weak-one", "~*", "+@all", "-ping")
        yield redis_at(f"redis://weak:weak-one@{lab.valkey.url.rpartition('@')[2]}")
        await redis.execute_command("ACL", "DELUSER", "weak")


@breakage("redis", says=("127.0.0.1:", "allkeys-lru"), cures=("CONFIG SET maxmemory-policy noeviction",))
async def redis_that_evicts(lab: Lab) -> AsyncIterator[Broken]:
    async for broken in _configured(lab, "maxmemory-policy", "allkeys-lru", "noeviction"):
        yield broken


@breakage("hints", says=("127.0.0.1:", "OutOfMemoryError"), cures=("maxmemory",), state="warning")
async def redis_whose_memory_is_full(lab: Lab) -> AsyncIterator[Broken]:
    async for broken in _configured(lab, "maxmemory", "1", "256mb"):
        yield broken


@breakage(
    "hints", says=("127.0.0.1:", "ReadOnlyError"), cures=("primary", "REPLICAOF NO ONE"), state="warning"
)
async def redis_that_is_a_replica(lab: Lab) -> AsyncIterator[Broken]:
    async with Redis.from_url(lab.valkey.url) as redis:
        await redis.execute_command("REPLICAOF", "127.0.0.1", "9")
        yield redis_at(lab.valkey.url)
        await redis.execute_command("REPLICAOF", "NO", "ONE")


@breakage("hints", says=("127.0.0.1:", "tulou:default"), cures=("only Tulou",), state="warning")
async def key_of_another_type(lab: Lab) -> AsyncIterator[Broken]:
    async with Redis.from_url(lab.valkey.url) as redis:
        await redis.set("tulou:default", "no list")
        yield redis_at(lab.valkey.url)
        await redis.delete("tulou:default")


@breakage("redis rights", says=("127.0.0.1:", "CONFIG"), cures=("docs/many-machines.md",), state="warning")
async def user_that_may_administer_redis(lab: Lab) -> AsyncIterator[Broken]:
    yield redis_at(lab.valkey.url, env="production")


@breakage("redis", says=("127.0.0.1:", "without a password"), cures=("requirepass", "TULOU_REDIS_URL"))
async def redis_without_a_password(lab: Lab) -> AsyncIterator[Broken]:
    password = lab.valkey.url.partition("://:")[2].partition("@")[0]
    async with Redis.from_url(lab.valkey.url) as redis:
        await redis.config_set("requirepass", "")
        try:
            yield redis_at(lab.valkey.url, env="production")
        finally:
            await redis.config_set("requirepass", password)


def mail_at(url: str) -> Broken:
    return Broken({"emails_smtp_url": SecretStr(url), "emails_timeout_seconds": 2})


@asynccontextmanager
async def mail_server(*, from_first_byte: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(object(), loop=loop, **options), "127.0.0.1", 0, ssl=from_first_byte
    )
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        server.close()


@breakage("mail server", says=(NOWHERE, "ECONNREFUSED"), cures=SMTP_URL)
async def mail_server_away(_lab: Lab) -> AsyncIterator[Broken]:
    yield mail_at(f"smtp://{NOWHERE}")


@breakage("mail server", says=("127.0.0.1:", "refuses the login of ann", "535"), cures=SMTP_URL)
async def wrong_login_at_the_mail_server(_lab: Lab) -> AsyncIterator[Broken]:
    def refuse(*_: object) -> AuthResult:
        return AuthResult(success=False, handled=False)

    async with mail_server(authenticator=refuse, auth_require_tls=False) as where:
        yield mail_at(f"smtp://ann:wrong@{where}?starttls=off")


@breakage("mail server", says=("127.0.0.1:", "offers no login"), cures=SMTP_URL)
async def mail_server_without_logins(lab: Lab) -> AsyncIterator[Broken]:
    yield mail_at(f"smtp://ann:x@{lab.servers.catcher.url.removeprefix('smtp://')}?starttls=off")


@breakage("mail server", says=("127.0.0.1:", "no STARTTLS"), cures=("smtps://",))
async def mail_server_without_the_tls_that_is_required(lab: Lab) -> AsyncIterator[Broken]:
    yield mail_at(f"{lab.servers.catcher.url}?starttls=required")


@breakage("mail server", says=("127.0.0.1:", "does not speak TLS"), cures=("smtps://", "smtp+starttls://"))
async def tls_from_the_first_byte_to_a_server_that_has_none(lab: Lab) -> AsyncIterator[Broken]:
    yield mail_at(lab.servers.catcher.url.replace("smtp://", "smtps://"))


@breakage("mail server", says=("127.0.0.1:", "certificate"), cures=("TULOU_EMAILS_SMTP_CA_FILE",))
async def certificate_of_nobody(lab: Lab) -> AsyncIterator[Broken]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*self_signed(lab.folder))
    async with mail_server(from_first_byte=context) as where:
        yield mail_at(f"smtps://{where}")


@breakage("mail server", says=("only logged",), cures=("SMTP_URL=smtp://",))
async def no_mail_server(_lab: Lab) -> AsyncIterator[Broken]:
    yield Broken({"emails_smtp_url": None})


def bucket_at(endpoint: str) -> Broken:
    return Broken(
        {
            "files_store_url": f"s3://bucket-{secrets.token_hex(4)}/tulou",
            "files_store_endpoint": endpoint,
            "files_store_region": "eu-central-1",
            "files_store_key_id": SecretStr("AKIATHEKEYID"),
            "files_store_secret": SecretStr("the-secret-of-the-store-17"),
            "files_store_patience": 1,
        }
    )


@breakage("file store", says=(NOWHERE, "ECONNREFUSED"), cures=("TULOU_FILES_STORE_ENDPOINT",))
async def store_away(_lab: Lab) -> AsyncIterator[Broken]:
    yield bucket_at(f"http://{NOWHERE}")


@breakage("file store", says=("s3://bucket-", "there is no bucket"), cures=("TULOU_FILES_STORE_URL",))
async def missing_bucket(_lab: Lab) -> AsyncIterator[Broken]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    await asyncio.to_thread(server.start)
    host, port = server.get_host_and_port()
    try:
        yield bucket_at(f"http://{host}:{port}")
    finally:
        await asyncio.to_thread(server.stop)


@breakage("file store", says=("/file/below", "ENOTDIR"), cures=("TULOU_FILES_STORE_URL",))
async def store_that_is_no_folder(lab: Lab) -> AsyncIterator[Broken]:
    (lab.folder / "file").touch()
    yield Broken({"files_store_url": f"file://{lab.folder}/file/below"})
