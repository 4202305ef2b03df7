"""Settings that are unsafe in production."""

import base64
import ipaddress
from collections.abc import Iterator, Sequence
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import SecretStr

from bootstrap.settings.model import Settings
from domains.auth.gateway.common_passwords import is_common
from domains.emails.settings import parse_sender, parse_smtp_url

SHORTEST_PASSWORD = 12
FEWEST_BYTES = 16
"""Different bytes among the 32 of a key: random ones have about 30, a phrase or a sample has few."""

NARROWEST_PREFIX = 8
"""The largest private network, 10.0.0.0/8; larger ones hold addresses of strangers."""

LARGEST_BODY = 64 << 20
MOST_WRONG_PASSWORDS = 100
LEAST_MEMORY_KIB, LEAST_PASSES = 19_456, 2
"""Argon2id as ASVS 5.0, appendix C, allows it at the least."""

_SUPERUSERS = frozenset({"postgres", "root", "admin"})
_SAMPLES = ("tulou", "change", "secret", "sample", "example", "password", "default")
_LOGINS_ELSEWHERE = frozenset({"password", "passfile", "sslcert", "service"})
_NOBODYS = ("example.com", "example.net", "example.org", "example", "test", "invalid")
"""Names reserved for examples (RFC 2606): they lead nowhere, and nothing sent there arrives."""


def unsafe_values(settings: "Settings", required: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the name of each setting that is unsafe in production, and the reason."""
    for name in required:
        if not getattr(settings, name):
            yield name, "is not set"
    yield from _unsafe_addresses(settings)
    yield from _unsafe_database(settings)
    yield from _unsafe_broker(settings)
    yield from _unsafe_sender(settings)
    yield from _unsafe_mail_server(settings)
    yield from _unsafe_keys(settings)
    yield from _unsafe_limits(settings)
    if settings.files_sandbox == "off":
        yield (
            "files_sandbox",
            "is off: the process that opens untrusted files could use the network and read every secret",
        )
    if settings.log_level == "debug":
        yield "log_level", "is debug, which may log personal data"


def _unsafe_addresses(settings: "Settings") -> Iterator[tuple[str, str]]:
    for name in ("public_url", "frontend_url"):
        value: str | None = getattr(settings, name)
        if value is None:
            continue
        if not value.startswith("https://"):
            yield name, "is not https"
        elif _is_local(urlsplit(value).hostname):
            yield name, "leads to this machine itself"
        elif _is_sample(urlsplit(value).hostname):
            yield name, "is a sample value; set the real address"
    if any(origin.startswith("http://") for origin in settings.cors_origins):
        yield "cors_origins", "trusts pages that can be changed in transit; name no http:// origin"
    if settings.trusted_proxies is None:
        yield (
            "trusted_proxies",
            (
                "is not set: behind a proxy all clients would share the limits of its address. Name the addresses or"
                " networks of the proxies, or set none"
            ),
        )
    elif any(_is_any_address(proxy) for proxy in settings.trusted_proxies):
        yield "trusted_proxies", "trusts X-Forwarded-For of any client; name the proxies"


def _unsafe_database(settings: "Settings") -> Iterator[tuple[str, str]]:
    names = ("database_url", "database_owner_url")
    urls = {name: _split(getattr(settings, name)) for name in names}
    for name, url in urls.items():
        if url is None:
            continue
        if url.username in _SUPERUSERS:
            yield name, f"connects as {url.username}, a superuser; use a role of its own"
        has_login = url.password or _LOGINS_ELSEWHERE & dict(parse_qsl(url.query)).keys()
        if url.hostname and not has_login:
            yield name, "has no password"
        yield from _weak_password(name, url)
    application, owner = urls.values()
    if application and owner and application.username == owner.username:
        yield "database_url", "connects as the role that owns the tables"


def _unsafe_broker(settings: "Settings") -> Iterator[tuple[str, str]]:
    url = _split(settings.redis_url)
    if url is None:
        return
    if url.scheme != "unix" and not url.password:
        yield "redis_url", "has no password"
    yield from _weak_password("redis_url", url)


def _unsafe_sender(settings: "Settings") -> Iterator[tuple[str, str]]:
    if settings.emails_sender is None:
        return
    domain = parse_sender(settings.emails_sender).domain
    if _is_local(domain) or _is_sample(domain):
        yield "emails_sender", "is a sample value; set an address of yours"


def _unsafe_mail_server(settings: "Settings") -> Iterator[tuple[str, str]]:
    if settings.emails_smtp_url is None:
        return
    server = parse_smtp_url(settings.emails_smtp_url.get_secret_value())
    if _is_local(server.host):
        return
    if not server.tls and server.starttls != "required":
        yield (
            "emails_smtp_url",
            "sends mails unencrypted; use smtps://, smtp+starttls:// or ?starttls=required",
        )
    elif not server.verify:
        yield "emails_smtp_url", "accepts any certificate (verify=off)"


def _unsafe_keys(settings: "Settings") -> Iterator[tuple[str, str]]:
    keys = {
        "signing_keys": settings.plain_signing_keys,
        "signing_keys_es256": settings.plain_signing_keys_es256,
        "token_keys": settings.plain_token_keys,
        "mail_keys": settings.plain_mail_keys,
    }
    for name, values in keys.items():
        if any(len(set(base64.urlsafe_b64decode(value + "=="))) < FEWEST_BYTES for value in values):
            yield name, "is not a random key"
        if any(value in others for other, others in keys.items() if other != name for value in values):
            yield name, "is used for another setting too"


def _unsafe_limits(settings: "Settings") -> Iterator[tuple[str, str]]:
    if settings.rate_limit == 0:
        yield "rate_limit", "is 0: one caller may use all capacity"
    if settings.max_body_bytes > LARGEST_BODY:
        yield "max_body_bytes", f"is over {LARGEST_BODY}: each request may use that much memory"
    if settings.auth_login_limit > MOST_WRONG_PASSWORDS:
        yield "auth_login_limit", f"is over {MOST_WRONG_PASSWORDS}: passwords can be guessed"
    if settings.auth_hash_memory_kib < LEAST_MEMORY_KIB:
        yield "auth_hash_memory_kib", f"is below {LEAST_MEMORY_KIB}"
    if settings.auth_hash_time_cost < LEAST_PASSES:
        yield "auth_hash_time_cost", f"is below {LEAST_PASSES}"


def _weak_password(name: str, url: SplitResult) -> Iterator[tuple[str, str]]:
    password = unquote(url.password or "")
    is_sample = any(sample in password.casefold() for sample in _SAMPLES)
    if password and (len(password) < SHORTEST_PASSWORD or is_sample or is_common(password)):
        yield name, f"has a weak password; use {SHORTEST_PASSWORD} random characters or more"


def _split(url: SecretStr | None) -> SplitResult | None:
    return urlsplit(url.get_secret_value()) if url is not None else None


def _is_local(host: str | None) -> bool:
    if host is None or _is_below(host, "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_sample(host: str | None) -> bool:
    return host is not None and any(_is_below(host, name) for name in _NOBODYS)


def _is_below(host: str, name: str) -> bool:
    return f".{host.casefold().rstrip('.')}".endswith(f".{name}")


def _is_any_address(proxy: str) -> bool:
    return proxy == "*" or ipaddress.ip_network(proxy, strict=False).prefixlen < NARROWEST_PREFIX
