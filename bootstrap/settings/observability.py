"""Settings of metrics, traces and error reports."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, SecretStr

_SHORTEST_TOKEN = 16


def _is_http(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must begin with http:// or https://")
    return url.rstrip("/")


def _is_dsn(dsn: SecretStr) -> SecretStr:
    parts = urlsplit(dsn.get_secret_value())
    if parts.scheme not in {"http", "https"} or not parts.username or not parts.path.strip("/"):
        raise ValueError("must be like https://key@host/project")
    return dsn


def _is_long(token: SecretStr) -> SecretStr:
    if len(token.get_secret_value()) < _SHORTEST_TOKEN:
        raise ValueError(f"must have at least {_SHORTEST_TOKEN} characters")
    return token


class ObservationSettings(BaseModel):
    """Metrics, traces and reports of errors."""

    metrics_token: Annotated[SecretStr, AfterValidator(_is_long)] | None = Field(
        None,
        description="Bearer token for /metrics. While unset, /metrics is open, in production closed.",
    )
    telemetry_url: Annotated[str, AfterValidator(_is_http)] | None = Field(
        None,
        description="OpenTelemetry collector for traces, by OTLP over HTTP: http://127.0.0.1:4318."
        " Needs the extra `telemetry`.",
    )
    telemetry_sample: float = Field(1.0, ge=0, le=1, description="Share of traces that are recorded.")
    sentry_dsn: Annotated[SecretStr, AfterValidator(_is_dsn)] | None = Field(
        None, description="Sentry DSN for reports of unexpected errors. Needs the extra `sentry`."
    )
