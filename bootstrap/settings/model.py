"""Every setting: core ones here, each domain's in its own `settings.py`. All are read from TULOU_<NAME>."""

import base64
import binascii
import ipaddress
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
)
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from bootstrap.settings.observability import ObservationSettings
from domains.auth.settings import AuthSettings
from domains.emails.settings import EmailsSettings
from domains.files.settings import FilesSettings
from domains.idempotency.settings import IdempotencySettings
from domains.jobs.settings import JobsSettings
from domains.modes.settings import ModesSettings
from domains.users.settings import UsersSettings
from shared.http.settings import HttpSettings

KEY_BYTES = 32
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""FIPS 186-4, D.1.2.3."""


class SettingsError(Exception):
    """The settings can't be used; the text says why, setting by setting."""


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _is_postgres(url: SecretStr) -> SecretStr:
    if urlsplit(url.get_secret_value()).scheme not in {"postgresql", "postgres"}:
        message = "must begin with postgresql://"
        raise ValueError(message)
    return SecretStr(url.get_secret_value().replace("postgres://", "postgresql://", 1))


def _is_redis(url: SecretStr) -> SecretStr:
    if urlsplit(url.get_secret_value()).scheme not in {"redis", "rediss", "unix"}:
        message = "must begin with redis://, rediss:// or unix://"
        raise ValueError(message)
    return url


def _is_key(key: SecretStr) -> SecretStr:
    try:
        raw = base64.urlsafe_b64decode(key.get_secret_value() + "==")
    except (binascii.Error, ValueError) as error:
        message = f"must be {KEY_BYTES} bytes in base64url"
        raise ValueError(message) from error
    if len(raw) != KEY_BYTES:
        message = f"must be {KEY_BYTES} bytes in base64url"
        raise ValueError(message)
    return key


def _is_scalar(key: SecretStr) -> SecretStr:
    number = int.from_bytes(base64.urlsafe_b64decode(key.get_secret_value() + "=="), "big")
    if not 0 < number < P256_ORDER:
        message = "must be a private key of the curve P-256; `tulou init-env` writes one"
        raise ValueError(message)
    return key


PostgresUrls = Annotated[
    tuple[Annotated[SecretStr, AfterValidator(_is_postgres)], ...], NoDecode, BeforeValidator(_split)
]
Key = Annotated[SecretStr, AfterValidator(_is_key)]
Keys = Annotated[tuple[Key, ...], NoDecode, BeforeValidator(_split)]
P256Keys = Annotated[
    tuple[Annotated[Key, AfterValidator(_is_scalar)], ...], NoDecode, BeforeValidator(_split)
]


def _are_proxies(value: object) -> object:
    """Read a list of addresses and networks; `none` is an empty one."""
    if not isinstance(value, str):
        return value
    given = [part.strip() for part in value.split(",") if part.strip()]
    proxies = [] if given == ["none"] else given
    for proxy in proxies:
        if proxy != "*" and not _is_network(proxy):
            raise ValueError(
                f"{proxy} is not an address or network: write 10.0.0.0/8, 192.0.2.7, or only the word none"
            )
    return tuple(proxies)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


Proxies = Annotated[tuple[str, ...] | None, NoDecode, BeforeValidator(_are_proxies)]


class Settings(
    AuthSettings,
    EmailsSettings,
    FilesSettings,
    HttpSettings,
    IdempotencySettings,
    JobsSettings,
    ModesSettings,
    ObservationSettings,
    UsersSettings,
    BaseSettings,
):
    """All settings. The environment is read once, at the start."""

    model_config = SettingsConfigDict(
        env_prefix="TULOU_",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
        env_ignore_empty=True,
    )

    env: Literal["dev", "test", "production"] = Field(
        "dev", description="With `production` the start fails while a setting is missing or unsafe."
    )
    host: str = Field("127.0.0.1", description="Address that the API listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port that the API listens on.")
    public_url: str = Field("http://127.0.0.1:8000", description="URL by which clients reach the API.")
    frontend_url: str | None = Field(
        None, description="Base URL of links in mails; by default the pages of the API itself."
    )
    data_dir: Path = Field(Path(".tulou"), description="Folder for all data on disk.")
    backup_place: str | None = Field(
        None,
        min_length=1,
        description="Place for the folders that `tulou backup` writes when no other is given: a folder, or a URL"
        " such as s3://bucket/backups.",
    )
    backup_keep: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Number of backups in TULOU_BACKUP_PLACE: `tulou backup` deletes older ones when a new one is"
        " complete; by default all are kept.",
    )
    domains: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        (),
        description="Domains whose routes the API serves and whose jobs a worker runs, comma-separated; by default"
        " all.",
    )
    database_url: Annotated[SecretStr, AfterValidator(_is_postgres)] | None = Field(
        None,
        validation_alias=AliasChoices("TULOU_DATABASE_URL", "DATABASE_URL"),
        description="PostgreSQL with the application's role: postgresql://user:password@host:port/name.",
    )
    database_owner_url: Annotated[SecretStr, AfterValidator(_is_postgres)] | None = Field(
        None,
        description="PostgreSQL with the role that owns the tables, for migrations and backups; by default the"
        " application's.",
    )
    database_pool: int = Field(32, ge=1, le=400, description="Connections of an API process at the most.")
    database_worker_pool: int = Field(
        4, ge=1, le=100, description="Connections of each of a worker's processes at the most."
    )
    database_timeout: float = Field(
        10, gt=0, le=120, description="Seconds to wait for a connection before answering 503."
    )
    database_prepared: Literal["on", "off"] = Field(
        "on",
        description="Whether statements stay prepared on their connections; `off` behind a PgBouncer in transaction"
        " mode"
        " that is older than 1.21 or has no max_prepared_statements.",
    )
    database_replica_urls: PostgresUrls = Field(
        (),
        description="Read replicas for lists and reports that may be slightly out of date, comma-separated.",
    )
    database_replica_lag: float = Field(
        2, gt=0, le=60, description="Seconds that a replica may be behind; reads skip a slower one."
    )
    database_volume: Path | None = Field(
        None,
        description="Folder on PostgreSQL's disk, if the API can see it; /metrics then has the free space there.",
    )
    migration_lock_wait: float = Field(
        5,
        gt=0,
        le=60,
        description="Seconds for which a migration that waits for a lock may block other sessions.",
    )
    migration_patience: float = Field(
        120,
        ge=0,
        le=3600,
        description="Seconds that migrations wait in total: for locks, with retries; for another `tulou migrate`;"
        " for older transactions, such as a backup, before an index is built.",
    )
    redis_url: Annotated[SecretStr, AfterValidator(_is_redis)] | None = Field(
        None,
        validation_alias=AliasChoices("TULOU_REDIS_URL", "REDIS_URL"),
        description="Redis or Valkey, for wake-ups to workers: redis://:password@host:port/0.",
    )
    signing_keys: Keys = Field(
        (), description="Ed25519 seeds, 32 bytes in base64url, comma-separated: the first signs, all verify."
    )
    signing_keys_es256: P256Keys = Field(
        (),
        description="P-256 private keys, 32 bytes in base64url, comma-separated: the first signs where"
        " TULOU_AUTH_SIGNING_ALGORITHM is ES256, all verify.",
    )
    token_keys: Keys = Field(
        (),
        validation_alias=AliasChoices("TULOU_TOKEN_KEYS", "TULOU_TOKEN_KEY"),
        description="Authenticate refresh tokens: 32 bytes in base64url, comma-separated: the first signs, all verify.",
    )
    mail_keys: Keys = Field(
        (), description="Encrypt stored mails: 32 bytes in base64url, comma-separated; the first encrypts."
    )
    trusted_proxies: Proxies = Field(
        None,
        description="Addresses or networks of trusted proxies, whose X-Forwarded-For is used, comma-separated, or"
        " `none`; required in production.",
    )
    docs: Literal["on", "off"] | None = Field(
        None,
        description="Whether `/docs` and `/openapi.json` are served; by default everywhere except in production.",
    )
    max_body_bytes: int = Field(
        1 << 20, ge=1024, le=1 << 30, description="Largest body except uploaded files."
    )
    shutdown_grace: float = Field(
        15, ge=0, le=600, description="Seconds for requests to end when the API stops."
    )
    shutdown_delay: float = Field(
        0,
        ge=0,
        le=300,
        description="Seconds that the API still serves after SIGTERM, while `/health/ready` answers 503 so that proxies"
        " send requests elsewhere.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged."
    )
    log_format: Literal["json", "console"] | None = Field(
        None, description="By default JSON in production, plain text elsewhere."
    )
    worker_soft_shutdown: float = Field(
        25, ge=0, le=600, description="Seconds for running jobs to end when a worker stops."
    )
    worker_concurrency: int = Field(2, ge=1, le=64, description="Child processes of a worker.")
    worker_mails: int = Field(
        4, ge=1, le=64, description="Mails that a child process of a worker sends concurrently."
    )
    doctor_free_bytes: int = Field(
        1 << 30,
        ge=0,
        le=1 << 60,
        description="Free space in TULOU_DATA_DIR below which the doctor reports an error.",
    )
    doctor_patience: float = Field(
        10, gt=0, le=120, description="Seconds that each check of the doctor may take."
    )
    doctor_api_processes: int = Field(
        1, ge=1, le=1000, description="Number of API processes for which the doctor counts connections."
    )
    doctor_backup_hours: int = Field(
        26, ge=1, le=8760, description="Age of the latest backup in hours above which the doctor warns."
    )
    watchdog: float = Field(
        60,
        ge=0,
        le=3600,
        description="Seconds after which a frozen API, worker or relay logs the stacks of its threads and exits with"
        " code 1, to be restarted; 0: never.",
    )
    pulse_file: Path | None = Field(
        None, description="File that a worker or relay touches every 10 s; `tulou-alive` looks at its age."
    )

    @property
    def serves_docs(self) -> bool:
        """Whether `/docs` and `/openapi.json` are served."""
        return self.docs == "on" or (self.docs is None and self.env != "production")

    @property
    def links_url(self) -> str:
        """Base URL of links in mails."""
        return (self.frontend_url or self.public_url).rstrip("/")

    @property
    def plain_signing_keys(self) -> list[str]:
        """The Ed25519 seeds, in base64url."""
        return [key.get_secret_value() for key in self.signing_keys]

    @property
    def plain_signing_keys_es256(self) -> list[str]:
        """The P-256 private keys, in base64url."""
        return [key.get_secret_value() for key in self.signing_keys_es256]

    @property
    def plain_mail_keys(self) -> list[str]:
        """The Fernet keys."""
        return [key.get_secret_value() for key in self.mail_keys]

    @property
    def plain_token_keys(self) -> list[str]:
        """The keys of refresh tokens, in base64url."""
        return [key.get_secret_value() for key in self.token_keys]

    @property
    def plain_replica_urls(self) -> tuple[str, ...]:
        """Where replicas are."""
        return tuple(url.get_secret_value() for url in self.database_replica_urls)

    @property
    def keeps_statements_prepared(self) -> bool:
        """Whether statements stay prepared on their connections."""
        return self.database_prepared == "on"

    @property
    def logs_as(self) -> Literal["json", "console"]:
        """The effective log format."""
        return self.log_format or ("json" if self.env == "production" else "console")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # as above
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment only; `tulou dev` hands its servers' addresses to its children there."""
        return init_settings, env_settings
