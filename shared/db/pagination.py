"""Keyset pagination: a page begins after the last row of the one before, so every page costs the same."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python
from sqlalchemy import Select, bindparam, func, select, tuple_
from sqlalchemy.sql.elements import ColumnElement
from starlette.requests import Request
from starlette.responses import Response

from shared.db.statement import RowT, Statement
from shared.errors import BadRequest
from shared.field_types import DIGITS

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
T = TypeVar("T")
OtherT = TypeVar("OtherT")


class BadCursor(BadRequest):
    """The cursor was not issued by this list, or for another sort order."""

    code = "pagination.bad_cursor"
    remedy = "Start again without `cursor`."
    detail = "This cursor belongs to another list or sort order. Start again without a cursor."


class PageRequest(BaseModel):
    """Which page is asked for. `sort` is a name, with `-` in front for the greatest first."""

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None
    sort: str = "-created_at"
    include_total: bool = False

    @property
    def descending(self) -> bool:
        """Whether the greatest come first."""
        return self.sort.startswith("-")

    @property
    def key(self) -> str:
        """The sort's name without its direction."""
        return self.sort.removeprefix("-")


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    data: list[T]
    next_cursor: str | None = Field(
        None,
        description="Pass it as `cursor` to get the next page; null on the last page.",
        examples=["WyItY3JlYXRlZF9hdCJd"],
    )
    total: int | None = Field(
        None, description="Number of all matching items; only with `include_total=true`.", examples=[42]
    )

    def map(self, shown: Callable[[T], OtherT]) -> "Page[OtherT]":
        """Return the same page with `shown(row)` in place of each row."""
        return Page(data=[shown(row) for row in self.data], next_cursor=self.next_cursor, total=self.total)


class _Total(BaseModel):
    total: int


class Listing(Generic[RowT]):
    """A list with its filters and sorts: one compiled statement for each combination in use, kept.

    Args:
        base: the statement without order, `select(*columns(File, FileRow)).where(...)`.
        into: the row model; it must have the fields `id` and each sort's name.
        key: the unique column that settles ties.
        sorts: sort names and their columns, none of which may be null.
        filters: filter names and their conditions, each with a `bindparam` of the filter's name, which begins with no
            underscore: those are parameters of the list itself, and no client may set them.
        may_be_stale: pages may be some seconds old: not for a list in which people look for what they just did.
    """

    def __init__(
        self,
        base: Select[Any],
        into: type[RowT],
        *,
        key: Any,
        sorts: Mapping[str, Any],
        filters: Mapping[str, ColumnElement[bool]] | None = None,
        may_be_stale: bool = False,
    ) -> None:
        if any(name.startswith("_") for name in filters or {}):
            message = f"a filter's name begins with no underscore: {sorted(filters or {})}"
            raise TypeError(message)
        self._base = base
        self._may_be_stale = may_be_stale
        self._into = into
        self._key = key
        self._sorts = dict(sorts)
        self._filters = dict(filters or {})
        self.statement_of = cache(self._build)
        self.total = cache(self._count)

    def statement(self, present: frozenset[str], request: PageRequest) -> Statement[RowT]:
        """Return the compiled statement for these filters and this order."""
        return self.statement_of(present, request.key, request.descending, request.cursor is not None)

    def position(self, request: PageRequest) -> dict[str, Any]:
        """Return the parameters for start and length of the page; one extra row shows whether there is a next page."""
        if request.cursor is None:
            return {"_page_limit": request.limit + 1}
        value, key = _decode(request.cursor, request.sort)
        return {
            "_page_limit": request.limit + 1,
            "_page_value": self._typed(request.key, value),
            "_page_key": self._typed("id", key),
        }

    def page(self, rows: list[RowT], request: PageRequest, total: int | None) -> Page[RowT]:
        """Make the page of the rows that were read."""
        shown = rows[: request.limit]
        cursor = None
        # One row more than asked for was read: it shows that there is a next page without counting.
        if len(rows) > request.limit:
            last: Any = shown[-1]
            cursor = _encode(request.sort, *to_jsonable_python([getattr(last, request.key), last.id]))
        return Page(data=shown, next_cursor=cursor, total=total)

    def _build(self, present: frozenset[str], sort: str, descending: bool, after: bool) -> Statement[RowT]:  # noqa: FBT001
        column = self._sorts[sort]
        clause = self._filtered(present)
        if after:
            here = tuple_(column, self._key)
            there = tuple_(
                bindparam("_page_value", type_=column.type), bindparam("_page_key", type_=self._key.type)
            )
            # A row comparison, which PostgreSQL answers with the index on both columns.
            clause = clause.where(here < there if descending else here > there)
        order = (column.desc(), self._key.desc()) if descending else (column.asc(), self._key.asc())
        return Statement(
            clause.order_by(*order).limit(bindparam("_page_limit")),
            self._into,
            may_be_stale=self._may_be_stale,
        )

    def _count(self, present: frozenset[str]) -> Statement[_Total]:
        inner = self._filtered(present).subquery()
        return Statement(
            select(func.count().label("total")).select_from(inner), _Total, may_be_stale=self._may_be_stale
        )

    def _filtered(self, present: frozenset[str]) -> Select[Any]:
        return self._base.where(*(self._filters[name] for name in sorted(present)))

    def _typed(self, name: str, value: Any) -> Any:
        annotation: Any = self._into.model_fields[name].annotation
        try:
            typed = TypeAdapter(annotation).validate_python(value)
        except (ValidationError, OverflowError) as error:  # a moment of the year 0 in UTC
            raise BadCursor from error
        if json.dumps(to_jsonable_python(typed)) != json.dumps(value):  # as `true` and `"7"` for 7
            raise BadCursor
        return typed


def page_request(*sorts: str, default: str = "-created_at") -> Any:
    """Return what reads the parameters of a page, sorted by one of `sorts`: use it in `Annotated[PageRequest, ...]`."""
    choices = [sign + name for name in sorts for sign in ("", "-")]

    async def read(
        limit: Annotated[
            int, Query(ge=1, le=MAX_LIMIT, description="Items per page."), DIGITS
        ] = DEFAULT_LIMIT,
        cursor: Annotated[
            str | None,
            Query(
                max_length=1024,
                description="`next_cursor` of the page before.",
                examples=["WyItY3JlYXRlZF9hdCJd"],
            ),
        ] = None,
        sort: Annotated[
            str,
            Query(
                pattern=f"^-?({'|'.join(sorts)})$",
                description="Sort order; `-` in front: descending.",
                json_schema_extra={"enum": choices},
            ),
        ] = default,
        include_total: Annotated[  # noqa: FBT002  # FastAPI gives it by name
            bool, Query(description="Also count all matching items, which takes time on long lists.")
        ] = False,
    ) -> PageRequest:
        return PageRequest(limit=limit, cursor=cursor, sort=sort, include_total=include_total)

    return Depends(read)


def link_next(request: Request, response: Response, page: Page[T]) -> Page[T]:
    """Set the `Link` header that leads to the next page (RFC 8288), and return the page."""
    if page.next_cursor is None:
        return page
    path: bytes = request.scope.get("raw_path") or quote(request.scope["path"]).encode()
    query = f"cursor={page.next_cursor}"
    if request.scope["query_string"]:
        # The link repeats the other parameters, so that a client can follow it as it is.
        kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
        query = urlencode([*kept, ("cursor", page.next_cursor)])
    response.headers["Link"] = f'<{path.decode("ascii")}?{query}>; rel="next"'
    return page


def _encode(sort: str, value: Any, key: Any) -> str:
    text = json.dumps([sort, value, key], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str, sort: str) -> tuple[Any, Any]:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        made_for, value, key = json.loads(raw)
    except (binascii.Error, ValueError, TypeError, RecursionError) as error:
        raise BadCursor from error
    # A position in one order means nothing in another.
    if made_for != sort:
        raise BadCursor
    return value, key
