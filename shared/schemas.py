"""Bases of request and response bodies, and of the rows that repositories read."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

ModelT = TypeVar("ModelT", bound=BaseModel)


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:  # the first day of the year 1 or the last of 9999, somewhere else
        message = "must lie in the years 1 to 9999 in UTC"
        raise ValueError(message) from error


UtcDatetime = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A moment with a time zone, kept in UTC (RFC 3339)."""


def validator_of(model: type[ModelT]) -> Callable[[Any], ModelT]:
    """Return a function that makes a model of values: a faster `model_validate` for many rows.

    A table is made of what its database holds, which needs no look.
    """
    if hasattr(model, "__table__"):
        return lambda values: model(**values)
    validate: Callable[[Any], ModelT] = model.__pydantic_validator__.validate_python
    return validate


def unchanged(**about: Any) -> Any:
    """Return the default of a field that may be absent: read the body with `exclude_unset=True`.

    Null is refused, unless the field's type takes it. `about`: what `Field` takes.
    """
    return Field(default_factory=lambda: None, **about)


def all_or_none(*names: str) -> Any:
    """Return a validator: these fields are sent together or not at all, and are null together or not at all.

    `_price = all_or_none("price_amount", "price_currency")` in the body of a class.
    """

    def check(sent: ModelT) -> ModelT:
        absent = [name for name in names if name not in sent.model_fields_set]
        empty = [name for name in names if getattr(sent, name) is None]
        for few in (absent, empty):
            if len(few) not in {0, len(names)}:
                others = ", ".join(name for name in names if name not in few)
                raise _refused(few[0], f"Send it together with {others}, or neither.")
        return sent

    return model_validator(mode="after")(check)


def only_with(needed: str, *names: str) -> Any:
    """Return a validator: one of the fields `names` needs the field `needed` too; used as `all_or_none`."""

    def check(sent: ModelT) -> ModelT:
        given = [name for name in names if getattr(sent, name) is not None]
        if given and getattr(sent, needed) is None:
            raise _refused(needed, f"Say it too, for {given[0]} means nothing without it.")
        return sent

    return model_validator(mode="after")(check)


def _refused(name: str, detail: str) -> ValidationError:
    """Return an error about one field, for a rule about several."""
    error = PydanticCustomError("value_error", "{detail}", {"detail": detail})
    return ValidationError.from_exception_data(name, [InitErrorDetails(type=error, loc=(name,), input=None)])


class RequestBody(BaseModel):
    """Base of bodies that clients send: an unknown field is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False, frozen=True)


class ResponseBody(BaseModel):
    """Base of bodies that clients receive: every field is always there, null if need be."""

    model_config = ConfigDict(from_attributes=True, json_schema_serialization_defaults_required=True)


class RevisedBody(ResponseBody):
    """Base of the body of a single resource with a `revision`: responses have an ETag, preconditions work."""

    revision: int = Field(exclude=True, repr=False)
    """Raised by each write of the row; never shown."""


class StoredBody(RevisedBody):
    """Base of the body of a resource in a `RevisedTable`."""

    id: UUID
    created_at: UtcDatetime
    updated_at: UtcDatetime


class Row(BaseModel):
    """Base of rows that repositories read: named, typed columns."""

    model_config = ConfigDict(from_attributes=True, frozen=True)
