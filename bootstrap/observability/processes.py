"""Starts traces and error reports in a process. While the settings are unset, nothing is imported."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, distribution

from bootstrap.compose import Role
from bootstrap.settings.model import Settings, SettingsError


def check_observation(settings: Settings) -> None:
    """Check that the extras for the settings are installed.

    Raises:
        SettingsError: it names the extra that is missing.
    """
    if settings.telemetry_url and not _is_installed("opentelemetry-sdk"):
        raise SettingsError("TULOU_TELEMETRY_URL is set: install tulou[telemetry].")
    if settings.sentry_dsn and not _is_installed("sentry-sdk"):
        raise SettingsError("TULOU_SENTRY_DSN is set: install tulou[sentry].")


@contextmanager
def observed(settings: Settings, role: Role) -> Iterator[None]:
    """Trace and report while the block runs. Enter it after a fork, because both start threads.

    Raises:
        SettingsError: an extra is missing.
    """
    check_observation(settings)
    with ExitStack() as stack:
        if settings.telemetry_url:
            from bootstrap.observability.telemetry import traced  # noqa: PLC0415  # only where it is wanted

            stack.enter_context(traced(settings, role))
        if settings.sentry_dsn:
            from bootstrap.observability.error_reports import reported  # noqa: PLC0415  # as above

            stack.enter_context(reported(settings, role))
        yield


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
