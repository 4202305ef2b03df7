"""`@query`: a statement and the method that runs it, written as one thing and compiled once, at import."""

import inspect
from collections.abc import Callable, Coroutine
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import wraps
from types import MappingProxyType, NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Boolean
from sqlalchemy import Enum as EnumType

from shared.db.conflicts import Conflicts, conflicts_translated
from shared.db.statement import Clause, Compiled, Execution, all_of, first_of, param, rows_changed
from shared.db.transaction import require_transaction
from shared.schemas import validator_of

__all__ = ["param", "query"]

MethodT = TypeVar("MethodT", bound=Callable[..., Coroutine[Any, Any, Any]])
_NONE: Conflicts = MappingProxyType({})
_PLAIN = (UUID, str, int, float, bool, bytes, Decimal, datetime, date, time, timedelta, dict, Enum)


def query(
    clause: Clause, *, conflicts: Conflicts = _NONE, changes: bool = False, may_be_stale: bool = False
) -> Callable[[MethodT], MethodT]:
    """Make a method of a `Repository`, whose body is its docstring alone, run a statement in one round trip.

        @query(select(*columns(User, UserRow)).where(col(User.id) == param("user_id")))
        async def find(self, user_id: UUID) -> UserRow | None:

    The method's parameters are the statement's. The annotation of the result says what is returned:

    - `Row | None` the first row, `list[Row]` all rows, `Row` the one that is always there (an aggregate),
    - `UUID | None`, `list[str]`, `int` or another plain type: the same of the only column,
    - `int` of a statement that returns no rows: how many it changed,
    - `bool` whether a row was found or changed; of a single boolean column its value,
    - `None` nothing.

    A table's rows that are read `with_for_update()` can be changed and given to `save`.

    Args:
        clause: the statement, with a `param` for each parameter of the method.
        conflicts: the error of each constraint that it may violate, by the constraint's name.
        changes: a SELECT that calls a function which writes.
        may_be_stale: the answer may be some seconds old, so that a replica can give it.

    Raises:
        TypeError: parameters or result of the method don't fit the statement.
    """

    def decorate(method: MethodT) -> MethodT:
        statement = Compiled(clause, changes=changes, may_be_stale=may_be_stale)
        arguments = _binder(method, statement)
        execution = _execution(method, statement)

        @wraps(method)
        async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            return await self.database.run(execution, arguments(self, *args, **kwargs))

        @wraps(method)
        async def run_translated(self: Any, *args: Any, **kwargs: Any) -> Any:
            with conflicts_translated(conflicts):
                return await self.database.run(execution, arguments(self, *args, **kwargs))

        chosen: Any = run_translated if conflicts else run
        return chosen  # type: ignore[no-any-return]  # it takes and returns what the method's signature says

    return decorate


def _binder(method: Callable[..., Any], statement: Compiled) -> Callable[..., tuple[Any, ...]]:
    """Return a function with the method's signature that returns the values in the order of `$1, $2, ...`.

    It is generated, as a dataclass's constructor is: Python sorts out defaults and keywords faster than any code.
    """
    signature = inspect.signature(method)
    _, *names = signature.parameters
    if set(names) != statement.required:
        message = f"{method.__qualname__} takes {sorted(names)}, its statement {sorted(statement.required)}"
        raise TypeError(message)
    environment: dict[str, Any] = {}
    values = []
    for place, name in enumerate(statement.names):
        convert = statement.converters.get(name)
        if name not in statement.required:
            constant = statement.defaults[name]
            environment[f"_{place}"] = convert(constant) if convert else constant
            values.append(f"_{place}")
        elif convert:
            environment[f"_{place}"] = convert
            values.append(f"_{place}({name})")
        else:
            values.append(name)
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty, default=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
    ]
    head = str(inspect.Signature(plain))[1:-1]
    bind: Any = eval(f"lambda {head}: ({''.join(f'{value}, ' for value in values)})", environment)  # noqa: S307  # names alone, of this program
    bind.__qualname__ = method.__qualname__
    bind.__defaults__, bind.__kwdefaults__ = method.__defaults__, method.__kwdefaults__
    return bind  # type: ignore[no-any-return]  # eval returns anything


def _execution(method: Callable[..., Any], statement: Compiled) -> Execution[Any]:
    """Return how to run the statement for the return type in the method's annotation."""
    annotation = inspect.signature(method, eval_str=True).return_annotation
    if annotation in {None, NoneType}:
        return statement.execution("execute", lambda _answer: None)
    if annotation is bool and not _is_flag(statement):
        if statement.columns:
            return statement.execution("fetchrow", lambda record: record is not None)
        return statement.execution("execute", lambda status: rows_changed(status) > 0)
    if annotation is int and not statement.columns:
        return statement.execution("execute", rows_changed)
    return _fetching(method, statement, annotation)


def _fetching(method: Callable[..., Any], statement: Compiled, annotation: Any) -> Execution[Any]:
    if get_origin(annotation) is list:
        (item,) = get_args(annotation)
        return statement.execution("fetch", all_of(_converter(method, statement, item)))
    if get_origin(annotation) in {UnionType, Union} and NoneType in get_args(annotation):
        (*kinds,) = (kind for kind in get_args(annotation) if kind is not NoneType)
        kind = kinds[0] if len(kinds) == 1 else annotation
        return statement.execution("fetchrow", first_of(_converter(method, statement, kind)))
    return statement.execution("fetchrow", _only(method, _converter(method, statement, annotation)))


def _only(method: Callable[..., Any], convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decode(record: Any) -> Any:
        if record is None:
            message = f"{method.__qualname__} found no row; annotate it with `| None` if there may be none"
            raise LookupError(message)
        return convert(record)

    return decode


def _converter(method: Callable[..., Any], statement: Compiled, kind: Any) -> Callable[..., Any]:
    """Return what makes the model or the plain value of a record."""
    found = list(statement.columns)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        needed = {name for name, field in kind.model_fields.items() if field.is_required()}
        if not needed <= set(found):
            message = f"{method.__qualname__}: {kind.__name__} needs {sorted(needed)}, the rows have {found}"
            raise TypeError(message)
        validate: Callable[[Any], Any] = validator_of(kind)
        if hasattr(kind, "__table__") and statement.locks:
            return lambda record: require_transaction().rows.add(validate(statement.values(record)))
        return lambda record: validate(statement.values(record))
    plain = get_origin(kind) or kind
    if len(found) != 1 or not (isinstance(plain, type) and issubclass(plain, _PLAIN)):
        message = f"{method.__qualname__} can't return {kind!r} of rows with the columns {found}"
        raise TypeError(message)
    (type_,) = statement.columns.values()
    if issubclass(plain, Enum) and not isinstance(type_, EnumType):
        message = f"{method.__qualname__} would return text for {kind!r}: give the column its type"
        raise TypeError(message)
    return statement.only_value


def _is_flag(statement: Compiled) -> bool:
    """Whether its rows are one boolean, which is the answer itself."""
    return len(statement.columns) == 1 and all(
        isinstance(type_, Boolean) for type_ in statement.columns.values()
    )
