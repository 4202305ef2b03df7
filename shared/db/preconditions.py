"""Preconditions of requests, checked when the row is locked (RFC 9110, section 13)."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol, TypeVar

from shared.errors import AppError


class PreconditionFailed(AppError):
    """The resource was modified since the client read it, so `If-Match` or `If-None-Match` does not match."""

    code = "request.precondition_failed"
    remedy = "Read the resource again, then repeat the change with its new `ETag`."
    status, title = 412, "A precondition failed"
    detail = "The resource was modified since you read it. Nothing was changed; fetch it again."


class WeakCondition(AppError):
    """`If-Match` has weak tags only, which match nothing (RFC 9110, section 13.1.1). The server sends no weak tags."""

    code = "request.weak_condition"
    remedy = "Switch compression off in the proxy, because it makes tags weak. The API compresses responses itself."
    status, title = 412, "A precondition failed"
    detail = (
        "Every tag of If-Match is weak (W/), so none can match. This server sends strong tags; a proxy that"
        " compresses responses makes them weak. Disable that in the proxy. Nothing was changed."
    )


class Revised(Protocol):
    """A row with a number that each write raises."""

    @property
    def revision(self) -> int:
        """How often it was written."""
        ...


RevisedT = TypeVar("RevisedT", bound=Revised)


@dataclass(slots=True)
class Precondition:
    """The revisions that a thing must have (None: any), and those that it must not have (None: none is allowed)."""

    if_match: frozenset[int] | None
    if_none_match: frozenset[int] | None
    checked: bool = False
    is_weak: bool = False
    """Whether the client names weak tags alone, so that nothing is wanted."""

    def check(self, revision: int) -> None:
        """Compare the first row that an operation changes; what it changes besides was not meant.

        Raises:
            PreconditionFailed: it isn't what the client believes.
            WeakCondition: the client names weak tags alone.
        """
        if self.checked:
            return
        self.checked = True
        if self.if_match is not None and revision not in self.if_match:
            raise self.failure
        if self.if_none_match is None or revision in self.if_none_match:
            raise PreconditionFailed

    @property
    def failure(self) -> AppError:
        """The error for a client whose tag is not the current one."""
        return WeakCondition() if self.is_weak else PreconditionFailed()

    @property
    def is_unchecked(self) -> bool:
        """Whether the client required a state that was never checked: then the precondition fails."""
        return self.if_match is not None and not self.checked


_current: ContextVar[Precondition | None] = ContextVar("precondition", default=None)


@contextmanager
def under(precondition: Precondition | None) -> Iterator[None]:
    """Work under a precondition."""
    token = _current.set(precondition)
    try:
        yield
    finally:
        _current.reset(token)


def check_precondition(locked: RevisedT) -> RevisedT:
    """Return the row locked for a change, if it meets the client's precondition.

    Raises:
        PreconditionFailed: it isn't.
    """
    _check(locked.revision)
    return locked


def check_precondition_of_changed(changed: RevisedT) -> RevisedT:
    """Return a row that one statement found and changed, raising its revision by one; as `check_precondition`."""
    _check(changed.revision - 1)
    return changed


def _check(revision: int) -> None:
    current = _current.get()
    if current is not None:
        current.check(revision)
