"""Errors are facts: one class for each, with a stable code, beside the code that raises it (RFC 9457)."""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

CATALOGUE: "dict[str, type[AppError]]" = {}
"""Every error that a response can have, by code. Filled when the classes are defined."""


class AppError(Exception):
    """A fact that stops a use case. `detail` is a full sentence for the reader of the response.

    A status below 500 is final for a job too, because a retry would meet the same fact.
    """

    code: ClassVar[str] = ""
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong"
    detail: str = "The request could not be completed."
    remedy: ClassVar[str] = (
        "Send the request again later, with the same `Idempotency-Key`. If the error persists, give the request id to"
        " the operator, whose log has the details."
    )

    def __init_subclass__(cls) -> None:
        """Add the class to the catalogue. Raises TypeError if another class has its code."""
        if "code" not in cls.__dict__:
            return
        known = CATALOGUE.setdefault(cls.code, cls)
        if known is not cls and known.__qualname__ != cls.__qualname__:
            message = f"{cls.__qualname__} and {known.__qualname__} share the code {cls.code}"
            raise TypeError(message)

    def __init__(
        self, detail: str | None = None, *, retry_after: float | None = None, **extensions: object
    ) -> None:
        """`detail` replaces the class's; `retry_after` is in seconds; `extensions` become members of the body."""
        if detail is not None:
            self.detail = detail
        self.retry_after = retry_after
        self.extensions = extensions
        super().__init__(self.detail)

    @property
    def permanent(self) -> bool:
        """Whether trying again can't help."""
        return self.status < 500  # noqa: PLR2004  # the boundary that HTTP itself draws

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers that the answer carries."""
        return {} if self.retry_after is None else {"Retry-After": str(max(1, math.ceil(self.retry_after)))}


class BadRequest(AppError):
    """Base of facts about a request that can't be understood."""

    status, title = 400, "The request can't be understood"
    remedy = "Correct the request. The same request gets the same error again."


class Forbidden(AppError):
    """Base of facts about a caller without permission."""

    status, title = 403, "You may not do this"
    remedy = "Use an account that has the right to do this."


class NotFound(AppError):
    """Base of facts about something that isn't there, or isn't the caller's."""

    status, title = 404, "Not found"
    remedy = "Check the id, and whether you use the right account."


class Conflict(AppError):
    """Base of facts about a state that forbids the operation."""

    status, title = 409, "The present state forbids this"
    remedy = "Read the resource again, and repeat the operation if its state allows it."


class TooLarge(AppError):
    """Base of facts about a size past its limit."""

    status, title = 413, "Too large"
    remedy = "Send less data, or ask the operator for a higher limit."


class Unprocessable(AppError):
    """Base of facts about well-formed input that can't be accepted."""

    status, title = 422, "The input can't be accepted"
    remedy = "Correct the input. If the response has `errors`, they name the fields."


class Quota(NamedTuple):
    """A limit as clients are told of it: its name, and how many `requests` in how many `seconds`."""

    name: str
    requests: int
    seconds: int


class TooManyRequests(AppError):
    """Base of limits that were reached."""

    status, title = 429, "Too many requests"
    remedy = "Wait as many seconds as `Retry-After` says, then send the request again."

    def __init__(
        self,
        detail: str | None = None,
        *,
        retry_after: float | None = None,
        quota: Quota | None = None,
        **extensions: object,
    ) -> None:
        """`quota` is the limit that was reached."""
        super().__init__(detail, retry_after=retry_after, **extensions)
        self.quota = quota

    @property
    def headers(self) -> Mapping[str, str]:
        """When to retry, and which limit was reached (draft-ietf-httpapi-ratelimit-headers)."""
        told = super().headers
        if self.quota is None or "Retry-After" not in told:
            return told
        name, requests, seconds = self.quota
        return {
            **told,
            "RateLimit-Policy": f'"{name}";q={requests};w={seconds}',
            "RateLimit": f'"{name}";r=0;t={told["Retry-After"]}',
        }


class Unavailable(AppError):
    """Base of facts about a temporary failure."""

    status, title = 503, "Unavailable for the moment"
    remedy = "Wait as many seconds as `Retry-After` says, then send the request again, with the same `Idempotency-Key`."


class InternalError(AppError):
    """A bug in this program. Its text is written to the log only."""

    code = "internal_error"
    title = "Internal error"
    detail = "The server failed. Search its log for the request id."


class Outage(StrEnum):
    """Why the database can't be used. Clients get the same response for each."""

    DOWN = "down"
    """It does not respond, or it is starting or shutting down."""

    REFUSED = "refused"
    """It refuses the role or its password."""

    NO_DATABASE = "no_database"
    NO_RIGHTS = "no_rights"
    READ_ONLY = "read_only"
    """It is a standby, or its transactions are read-only."""

    DISK_FULL = "disk_full"
    EXHAUSTED = "exhausted"
    """It has no connection or no memory left."""

    NOT_MIGRATED = "not_migrated"
    TOO_NEW = "too_new"
    """It was migrated by a newer version, and this one doesn't work with it."""


class DatabaseUnavailable(Unavailable):
    """PostgreSQL can't be reached, refuses, or has no connection free."""

    code = "database_unavailable"
    detail = "The database is unavailable. Nothing was changed. Try again in a moment."

    def __init__(self, outage: Outage = Outage.DOWN) -> None:
        """Ask the client to retry in two seconds. `outage` is for the log and `/health/ready`."""
        super().__init__(retry_after=2)
        self.outage = outage


class DatabaseBusy(DatabaseUnavailable):
    """PostgreSQL ended a transaction that waited for another: a deadlock, or a lock or snapshot that it can't have."""

    code = "database_busy"
    detail = "Another operation on the same data is in progress. Nothing was changed. Try again in a moment."


class FieldProblem(BaseModel):
    """What is wrong with one field of the input."""

    pointer: str | None = Field(
        None, description="JSON Pointer into the body (RFC 6901).", examples=["#/email"]
    )
    parameter: str | None = Field(
        None, description="Name of the query, path or header parameter.", examples=["limit"]
    )
    code: str = Field(description="Rule that the value breaks.", examples=["value_error"])
    detail: str = Field(description="A sentence about it.", examples=["This is not a mail address."])


class Problem(BaseModel):
    """A problem document (RFC 9457, `application/problem+json`)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(
        description="Address of the page that explains this error.",
        examples=["https://api.example.com/errors/files.in_trash"],
    )
    title: str = Field(
        description="What errors of this kind have in common.", examples=["The present state forbids this"]
    )
    status: int = Field(ge=400, le=599, description="Status of the answer.", examples=[409])
    detail: str = Field(
        description="A sentence that helps.", examples=["This file is in the trash. Restore it first."]
    )
    instance: str | None = Field(None, description="Path of the request.", examples=["/v1/files"])
    code: str = Field(description="Stable name of the error, safe to branch on.", examples=["files.in_trash"])
    request_id: str | None = Field(
        None,
        description="Finds this request in the log.",
        examples=["0199c3f0-7a6e-7bd4-8f2e-3d1c5a9b7e42"],
    )
    errors: list[FieldProblem] | None = Field(None, description="For 422: what is wrong, field by field.")


def problem_of(error: AppError) -> dict[str, Any]:
    """Return what a job row keeps of an error: title, status, detail, code and its extensions."""
    return {
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        **error.extensions,
    }
