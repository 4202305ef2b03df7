"""Redis with TLS and a user with minimal rights."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis import Redis as Synchronous
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from domains.files.job_types import SWEEP
from domains.jobs.gateway.broker import create_celery
from domains.jobs.gateway.wake_ups import RedisWakeUps
from shared.jobs import JobOptions, NoPayload
from tests.programs import Program, free_port, stop_all
from tools.dev.valkey import EmbeddedValkey
from tools.drill.balancer import Balancer

PAGE = Path(__file__).parents[2] / "docs" / "many-machines.md"
PASSWORD = "only-for-this-test"
_MAY_SIGN = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def acl_of_the_page() -> list[str]:
    """Return the words of the one line that operators copy."""
    (line,) = [line for line in PAGE.read_text().splitlines() if line.strip().startswith("user tulou ")]
    return line.replace(">PASSWORD", f">{PASSWORD}").split()[1:]


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[Redis]:
    """An administrator's connection to a server of its own, with the page's user."""
    server = EmbeddedValkey(tmp_path / "valkey")
    await asyncio.to_thread(server.start)
    async with Redis.from_url(server.url, decode_responses=True) as client:
        client.url = server.url
        await client.execute_command("ACL", "SETUSER", *acl_of_the_page())
        yield client
    await asyncio.to_thread(server.destroy)


def as_tulou(url: str, **changes: str) -> str:
    """Return the URL by which the page's user comes in."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"tulou:{PASSWORD}@127.0.0.1:{parts.port}", **changes))


async def until(holds: Callable[[], object], what: str) -> None:
    async with asyncio.timeout(30):
        while not await holds():
            await asyncio.sleep(0.05)


async def a_system_works_with(url: str, programs: Callable[..., Program], composition) -> None:
    """Run API, relay and a worker on that Redis; a wake-up must reach the worker, and counts the other API."""
    port = free_port()
    # So slow that only a wake-up can start the job in time.
    slow = {
        "TULOU_JOBS_HINT_REPEAT": "600",
        "TULOU_JOBS_LOOK_INTERVAL": "600",
        "TULOU_JOBS_RELAY_INTERVAL": "0.2",
        "REDIS_URL": url,
    }
    worker = programs("worker", "--queue", "default", **slow)
    relay = programs("relay", **slow)
    base = f"http://127.0.0.1:{port}"
    api = programs(
        "serve", TULOU_PORT=str(port), TULOU_PUBLIC_URL=base, TULOU_RATE_LIMIT_SETTLE="0.2", **slow
    )
    try:
        await asyncio.to_thread(api.wait_until_it_answers, f"{base}/health/ready")
        await asyncio.to_thread(worker.wait_for, "ready.")
        async with httpx.AsyncClient(base_url=base) as client:
            assert (await client.get("/v1/users/me")).status_code == 401  # counted, and exchanged
        job_id = await _enqueue(composition)
        await until(lambda: _is_over(composition, job_id), "the hinted job")
        for program in (worker, relay, api):
            for trouble in (
                "broker_unreachable",
                "NoPermission",
                "NOPERM",
                "wake_up_not_sent",
                "limits_are_local",
            ):
                assert trouble not in program.output, program.output[-3000:]
    finally:
        await asyncio.to_thread(stop_all, (worker, relay, api))


async def _enqueue(composition):
    async with composition.database().transaction():
        return await composition.jobs.outbox().enqueue(SWEEP, NoPayload(), JobOptions())


async def _counts(valkey: Redis) -> list[str]:
    return [key async for key in valkey.scan_iter(match="tulou:rate:*")]


async def _is_over(composition, job_id) -> bool:
    found = await composition.jobs.rows().find(job_id)
    return found is not None and found.finished_at is not None


async def test_the_user_of_the_page_may_do_nothing_else(valkey) -> None:
    async with Redis.from_url(as_tulou(valkey.url)) as tulou:
        for refused in (
            ["KEYS", "*"],
            ["GET", "others"],
            ["CONFIG", "GET", "*"],
            ["FLUSHALL"],
            ["SUBSCRIBE", "x"],
        ):
            with pytest.raises(Exception, match=r"(?i)permission"):
                await tulou.execute_command(*refused)


@pytest.fixture
def authority(tmp_path: Path) -> dict[str, Path]:
    """A certificate authority of our own, and a server's certificate for 127.0.0.1 from it."""
    begin = datetime.now(UTC) - timedelta(days=1)

    def certified(name: str, issuer: tuple[x509.Name, Any] | None) -> tuple[x509.Certificate, Any]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        of, by = issuer or (subject, key)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(of)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(days=3))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False
            )
        )
        if issuer is None:
            made = made.add_extension(_MAY_SIGN, critical=True)
        else:
            names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
            made = made.add_extension(names, critical=False)
        return made.sign(by, hashes.SHA256()), key

    root, root_key = certified("Authority of the test", None)
    leaf, leaf_key = certified("redis", (root.subject, root_key))
    paths = {name: tmp_path / f"{name}.pem" for name in ("ca", "certificate", "key")}
    paths["ca"].write_bytes(root.public_bytes(serialization.Encoding.PEM))
    paths["certificate"].write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    paths["key"].write_bytes(
        leaf_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


@pytest.fixture
async def with_tls(valkey: Redis, authority: dict[str, Path]) -> AsyncIterator[int]:
    """A port on which the server speaks TLS. The wheel's Valkey can't, so this end of it is ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority["certificate"], authority["key"])
    async with Balancer(tls=context).listening() as balancer:
        balancer.backends.append(valkey.url)
        yield balancer.port


async def test_the_user_of_the_page_may_do_what_is_needed_and_all_of_it_goes_over_tls(
    valkey, with_tls, authority, programs, app, composition
) -> None:
    url = as_tulou(f"rediss://127.0.0.1:{with_tls}/0", query=f"ssl_ca_certs={authority['ca']}")
    await a_system_works_with(url, programs, composition)
    await until(lambda: _counts(valkey), "counts of requests")
    assert await valkey.execute_command("ACL", "LOG") == []


def of_the_broker(url: str) -> None:
    with create_celery(url).connection_for_write() as connection:
        connection.connect()


def of_the_wake_ups(url: str) -> None:
    RedisWakeUps(url).waiting("default")


def of_the_counts(url: str) -> None:
    with Synchronous.from_url(url) as client:
        client.ping()


@pytest.mark.parametrize("client", [of_the_broker, of_the_wake_ups, of_the_counts])
async def test_a_certificate_that_nobody_vouches_for_is_refused(with_tls, client) -> None:
    url = as_tulou(f"rediss://127.0.0.1:{with_tls}/0")
    with pytest.raises(RedisConnectionError, match=r"(?i)certificate verify failed"):
        await asyncio.to_thread(client, url)


@pytest.mark.parametrize("client", [of_the_broker, of_the_wake_ups, of_the_counts])
async def test_nothing_is_said_in_the_clear_to_a_server_without_tls(client) -> None:
    heard = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    url = as_tulou(f"rediss://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
    with pytest.raises(RedisConnectionError):
        await asyncio.to_thread(client, url)
    server.close()
    assert heard[:1] == b"\x16", "the first byte of a TLS handshake"
    assert PASSWORD.encode() not in heard
