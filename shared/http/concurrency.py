"""Limits on concurrent uploads, downloads, event streams and large bodies.

Each process counts for itself, because the limits protect its own memory and descriptors.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from starlette.types import Scope

from shared.errors import AppError, TooManyRequests, Unavailable
from shared.http.connection_share import exceeds_fair_share
from shared.http.rate_limits import network_of
from shared.http.settings import HttpSettings

RETRY_AFTER = 5.0
"""Seconds after which to try again. An estimate, because the end of other requests is not known."""


_Key = tuple["Activity", str, UUID | str]
"""An activity, the level at which it is counted, and the account or address."""


class Activity(StrEnum):
    """A long-running activity, as the text of a refusal names it."""

    UPLOAD = "uploads"
    DOWNLOAD = "downloads"
    STREAM = "event streams"
    BODY = "large request bodies"


class TooManyInProgress(TooManyRequests):
    """The account or the address has as many uploads, downloads, streams or large bodies in progress as allowed."""

    code = "request.too_many_in_progress"
    remedy = "Wait until one of your requests has ended, then send the request again."
    detail = "You have too many requests in progress. Wait until one ends, then try again."


class Busy(Unavailable):
    """The process has as much in progress as it can hold."""

    code = "server.busy"
    detail = "This server is busy. Try again after `Retry-After` seconds."


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """How many of one activity may be in progress: of an account, of an address (of IPv6 the /64), in the process."""

    account: int
    address: int
    process: int


class Concurrency:
    """Counts the activities in progress in this process. For use in one event loop: it takes no locks."""

    def __init__(self, allowances: Mapping[Activity, Allowance]) -> None:
        self._allowances = allowances
        self._counts: dict[_Key, int] = {}

    def enter(self, activity: Activity, *, account: UUID | None, address: str) -> "Slot":
        """Count one more, until its slot is released.

        Raises:
            TooManyInProgress: the account or the address has as many as it may have, or the address its fair share.
            Busy: the process has as many as it may have.
        """
        allowance = self._allowances[activity]
        limits: dict[_Key, int] = (
            {} if account is None else {(activity, "account", account): allowance.account}
        )
        limits[(activity, "address", address)] = allowance.address
        limits[(activity, "process", "")] = allowance.process
        for key, limit in limits.items():
            if self._counts.get(key, 0) >= limit:
                raise _refusal(activity, key[1], limit)
        self._check_share(activity, address)
        for key in limits:
            self._counts[key] = self._counts.get(key, 0) + 1
        return Slot(self, list(limits))

    def in_progress(self, activity: Activity) -> int:
        """Return the number of these activities in this process."""
        return self._counts.get((activity, "process", ""), 0)

    def leave(self, keys: list[_Key]) -> None:
        """Count one less."""
        for key in keys:
            left = self._counts[key] - 1
            if left:
                self._counts[key] = left
            else:
                del self._counts[key]

    def _check_share(self, activity: Activity, address: str) -> None:
        own = self._counts.get((activity, "address", address), 0)
        free = self._allowances[activity].process - self.in_progress(activity)
        if exceeds_fair_share(own, free=free):
            raise TooManyInProgress(
                f"Your address has {own} {activity.value} in progress, and only {free} more are free for all addresses."
                " Let one of yours end first.",
                retry_after=RETRY_AFTER,
                activity=activity.value,
                limit=own,
                level="address",
            )


class Slot:
    """One activity in progress, until `release`. A context manager releases it at its end."""

    def __init__(self, concurrency: Concurrency, keys: list[_Key]) -> None:
        self._concurrency = concurrency
        self._keys = keys

    def release(self) -> None:
        """Stop counting it. May be called again."""
        keys, self._keys = self._keys, []
        self._concurrency.leave(keys)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


class RequestSlot:
    """The slot of one request, which its endpoint may still have to `enter`."""

    def __init__(self, concurrency: Concurrency, activity: Activity, account: UUID, address: str) -> None:
        self._concurrency = concurrency
        self._activity = activity
        self._account = account
        self._address = address
        self._slot: Slot | None = None

    def enter(self) -> None:
        """Count this request until its answer has ended. Raises TooManyInProgress, Busy."""
        if self._slot is None:
            self._slot = self._concurrency.enter(self._activity, account=self._account, address=self._address)

    def leave(self) -> None:
        """Stop counting this request."""
        if self._slot is not None:
            self._slot.release()


def address_of(scope: Scope) -> str:
    """Return the address under which a request is counted; one forwarded by a trusted proxy is in the scope already."""
    client = scope.get("client")
    return network_of(client[0]) if client else ""


def allowances(settings: HttpSettings) -> dict[Activity, Allowance]:
    """Return the limits in the settings."""
    return {
        Activity.UPLOAD: Allowance(
            account=settings.uploads_per_account,
            address=settings.uploads_per_address,
            process=settings.uploads_at_once,
        ),
        Activity.DOWNLOAD: Allowance(
            account=settings.downloads_per_account,
            address=settings.downloads_per_address,
            process=settings.downloads_at_once,
        ),
        Activity.STREAM: Allowance(
            account=settings.streams_per_account,
            address=settings.streams_per_address,
            process=settings.streams_at_once,
        ),
        Activity.BODY: Allowance(
            account=settings.bodies_per_address,
            address=settings.bodies_per_address,
            process=settings.bodies_at_once,
        ),
    }


_SUBJECTS = {"account": "Your account", "address": "Your address"}


def _refusal(activity: Activity, level: str, limit: int) -> AppError:
    told: dict[str, Any] = {"activity": activity.value, "limit": limit, "level": level}
    if level == "process":
        return Busy(
            f"This server has {limit} {activity.value} in progress, as many as it takes. Try again in a moment.",
            retry_after=RETRY_AFTER,
            **told,
        )
    return TooManyInProgress(
        f"{_SUBJECTS[level]} has {limit} {activity.value} in progress, as many as it may have."
        " Let one of them end first.",
        retry_after=RETRY_AFTER,
        **told,
    )
