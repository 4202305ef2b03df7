"""What can be set about the edge middleware of every operation."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from pydantic_settings import NoDecode

# Apps have their own schemes: capacitor://localhost, tauri://localhost.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_ORIGINS = re.compile(r"https?://\*(\.[a-z0-9-]+){2,}(:[0-9]{1,5})?")
_FIELD_NAME = re.compile(r"[!#$%&'+.^_`|~0-9A-Za-z-]+")
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _are_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        if not (_ORIGIN.fullmatch(origin.lower()) or _ORIGINS.fullmatch(origin.lower())):
            raise ValueError(
                f"{origin} is no origin: write https://app.example.com, without a path, or https://*.preview.example.com"
                " for each host one label below preview.example.com"
            )
    return tuple(origin.lower() for origin in origins)


def _are_field_names(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not _FIELD_NAME.fullmatch(name):
            raise ValueError(f"{name} is no name of a header field: write X-Client-Version")
    return names


def _are_hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    for host in hosts:
        if not _HOST_NAME.fullmatch(host.lower()):
            raise ValueError(f"{host} is no host: write api.example.com, without a port")
    return tuple(host.lower() for host in hosts)


class HttpSettings(BaseModel):
    """Times in seconds."""

    trusted_hosts: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_are_hosts)
    ] = Field(
        (),
        description="Names that the API answers to, comma-separated; by default that of TULOU_PUBLIC_URL"
        " in production, any elsewhere.",
    )
    cors_origins: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_are_origins)
    ] = Field(
        (),
        description="Origins whose pages may call the API from a browser, comma-separated: `https://app.example.com`,"
        " `capacitor://localhost`, `https://*.preview.example.com` (exactly one label in place of `*`).",
    )
    cors_headers: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_are_field_names)
    ] = Field(
        (),
        description="Request headers that such pages may send beside those that operations read, comma-separated.",
    )
    hsts_seconds: int = Field(
        31_536_000,
        ge=0,
        le=315_360_000,
        description="For how long browsers shall come by https alone, where TULOU_PUBLIC_URL is https; 0 says nothing.",
    )
    rate_limit: int = Field(
        600, ge=0, le=10_000_000, description="Requests that a caller may send in a minute; 0 sets no limit."
    )
    rate_limit_callers: int = Field(
        50_000, ge=100, le=10_000_000, description="Callers whose requests a process counts at a time."
    )
    rate_limit_settle: float = Field(
        1, gt=0, le=30, description="Between two exchanges of counts with the other processes, through Redis."
    )
    compression_min_bytes: int = Field(
        1024,
        ge=256,
        le=1 << 30,
        description="JSON answers of at least so many bytes are compressed for clients that accept gzip.",
    )
    head_timeout: float = Field(30, gt=0, le=600, description="For the head of a request to arrive whole.")
    body_timeout: float = Field(
        60,
        gt=0,
        le=600,
        description="In each of which at least TULOU_BODY_MIN_BYTES of a body have to arrive.",
    )
    body_min_bytes: int = Field(
        65_536,
        ge=1,
        le=1 << 30,
        description="Bytes of a body, unless it ends, that have to arrive in TULOU_BODY_TIMEOUT: a kilobyte a second.",
    )
    body_max_time: float = Field(
        10_800,
        gt=0,
        le=604_800,
        description="For the whole of a body, however large: 1 GiB at 100 kB a second.",
    )
    write_timeout: float = Field(
        60, gt=0, le=600, description="For a client to take in some more of an answer that waits for it."
    )
    keep_alive_timeout: int = Field(
        65, ge=1, le=3600, description="For the next request on a connection; more than the proxy's own."
    )
    max_connections: int = Field(
        4096,
        ge=8,
        le=1_000_000,
        description="Connections that a process holds; fewer where the descriptors that it may open don't suffice.",
    )
    max_connections_per_address: int = Field(
        512,
        ge=1,
        le=1_000_000,
        description="Connections from an address (of IPv6 the /64) that is no trusted proxy, at most half of all; its"
        " oldest idle one makes room for the next, and without an idle one the next is 429.",
    )
    max_unread_bytes_per_address: int = Field(
        16 << 20,
        ge=65_536,
        le=1 << 40,
        description="Bytes of answers over 64 KiB that wait for clients at an address (of IPv6 the /64) that is no"
        " trusted proxy; past it the connection that has waited longest is closed.",
    )
    max_unread_bytes: int = Field(
        64 << 20,
        ge=65_536,
        le=1 << 40,
        description="The same of all addresses; the connection that is closed belongs to the one with the most bytes.",
    )
    uploads_per_account: int = Field(
        16,
        ge=1,
        le=10_000,
        description="Uploads of an account that a process takes in at a time; more are 429.",
    )
    uploads_per_address: int = Field(
        32, ge=1, le=10_000, description="Uploads from an address (of IPv6 the /64) at a time; more are 429."
    )
    uploads_at_once: int = Field(
        64,
        ge=1,
        le=10_000,
        description="Uploads that a process takes in at a time, of 2 MiB of memory each, 16 MiB where the store is in"
        " the network; more are 503.",
    )
    downloads_per_account: int = Field(
        32, ge=1, le=100_000, description="Downloads over 128 KiB of an account at a time; more are 429."
    )
    downloads_per_address: int = Field(
        128, ge=1, le=100_000, description="Downloads over 128 KiB to an address at a time; more are 429."
    )
    downloads_at_once: int = Field(
        512,
        ge=1,
        le=100_000,
        description="Downloads over 128 KiB that a process sends at a time, of 256 KiB of memory each; more are 503.",
    )
    streams_per_account: int = Field(
        64, ge=1, le=100_000, description="Event streams of an account at a time; more are 429."
    )
    streams_per_address: int = Field(
        256, ge=1, le=100_000, description="Event streams to an address at a time; more are 429."
    )
    streams_at_once: int = Field(
        2000, ge=1, le=100_000, description="Event streams that a process sends at a time; more are 503."
    )
    bodies_per_address: int = Field(
        16,
        ge=1,
        le=100_000,
        description="Request bodies over 64 KiB, uploads aside, that are read from an address at a time; more are 429.",
    )
    bodies_at_once: int = Field(
        128,
        ge=1,
        le=100_000,
        description="Request bodies over 64 KiB, uploads aside, that a process reads at a time; more are 503.",
    )
    max_pipelined: int = Field(
        8,
        ge=1,
        le=1000,
        description="Requests that may wait on a connection behind the one that is answered; more stay unread.",
    )
    max_headers: int = Field(100, ge=10, le=10_000, description="Header fields of a request.")
    max_head_bytes: int = Field(
        32_768, ge=1024, le=1 << 20, description="Bytes of a request's header fields."
    )
