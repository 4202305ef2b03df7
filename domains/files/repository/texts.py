"""SQL of the full text search: names of files, and text of documents in pieces."""

import json
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Text, bindparam, case, delete, select, text, update
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import col

from domains.files.models import FileText
from domains.files.schemas.rows import OldTextRow, TextOwnerRow
from shared.db.fulltext import Piece, Search, vector_of
from shared.db.models import columns
from shared.db.query import param, query
from shared.db.repository import Repository

_FOUND = text(
    """
    files.files.id IN (
      WITH terms AS (
        SELECT alternative, needed, number, is_excluded, query, plain
          FROM jsonb_to_recordset(CAST(:q AS jsonb))
            AS term (alternative int, needed int, number int, is_excluded bool, query tsquery, plain text)
      ), hits AS (
        SELECT found.file_id, alternative, needed, number, is_excluded
          FROM terms CROSS JOIN LATERAL (
            SELECT file_id FROM files.texts WHERE owner_id = :owner_id AND texts.terms @@ query OFFSET 0
          ) AS found
        UNION ALL
        SELECT found.file_id, alternative, needed, number, is_excluded
          FROM terms CROSS JOIN LATERAL (
            SELECT file_id FROM files.texts
              WHERE owner_id = :owner_id AND texts.terms IS NULL AND search @@ phraseto_tsquery('simple', plain)
            OFFSET 0
          ) AS found
        UNION ALL
        SELECT every.id, alternative, needed, number, is_excluded
          FROM terms JOIN files.files AS every ON every.owner_id = :owner_id
          WHERE query IS NULL
      )
      SELECT file_id FROM hits GROUP BY file_id, alternative, needed
      HAVING count(DISTINCT number) = needed AND NOT bool_or(is_excluded)
    )
    """
).bindparams(bindparam("q", type_=Text))
FOUND = cast(
    "ColumnElement[bool]", _FOUND
)  # SQLAlchemy takes text for a condition, but doesn't type it as one
"""Matches files that fulfil one alternative of a search: each term is in a piece, and no excluded term in any.

`q` is what `query_json` returns. The second part is for pieces that an older version wrote, until `files.index` has
run; the third for alternatives with excluded terms only. `OFFSET 0` makes PostgreSQL ask the index for each term rather
than read all pieces of an owner.
"""
_OF_FILE = col(FileText.file_id) == param("file_id")
_IS_NAME = (col(FileText.part) == 0) & col(FileText.terms).is_not(None)


class TextRepository(Repository):
    """Reads and writes what a search looks through. Piece 0 is the file's name, the others are its text."""

    async def set_text(self, file_id: UUID, owner_id: UUID, name: str, pieces: Sequence[Piece]) -> None:
        """Replace the pieces of a file."""
        await self._delete_text(file_id)
        row: dict[str, Any] = {"file_id": file_id, "owner_id": owner_id, "name": searchable(name)}
        await self.insert_all(
            [
                FileText(**row, part=part, body=piece.body, terms=piece.vector)
                for part, piece in enumerate([Piece("", vector_of(name)), *pieces])
            ]
        )

    @query(delete(FileText).where(_OF_FILE))
    async def _delete_text(self, file_id: UUID) -> None:
        """Delete all pieces of a file."""

    async def rename_text(self, file_id: UUID, name: str) -> None:
        """Replace the name of a file."""
        await self._rename_text(file_id, searchable(name), vector_of(name))

    @query(
        update(FileText)
        .where(_OF_FILE)
        .values(
            name=param("name"),
            terms=case((_IS_NAME, param("terms", TSVECTOR)), else_=col(FileText.terms)),
        )
    )
    async def _rename_text(self, file_id: UUID, name: str, terms: str) -> None:
        """Write the name into all pieces, and its terms into piece 0."""

    @query(
        select(*columns(FileText, TextOwnerRow))
        .where(col(FileText.terms).is_(None), col(FileText.part) == 0)
        .limit(param("most"))
    )
    async def not_indexed(self, most: int) -> list[TextOwnerRow]:
        """Return files whose pieces an older version wrote."""

    @query(
        select(col(FileText.body), col(FileText.terms).is_not(None).label("is_indexed"))
        .where(_OF_FILE)
        .order_by(col(FileText.part))
    )
    async def _pieces(self, file_id: UUID) -> list[OldTextRow]:
        """Return the pieces of a file."""

    async def old_text(self, file_id: UUID) -> str | None:
        """Return the text that an older version wrote; None if it is indexed or deleted."""
        rows = await self._pieces(file_id)
        is_old = bool(rows) and not any(row.is_indexed for row in rows)
        return "".join(row.body for row in rows) if is_old else None


def query_json(search: Search) -> str:
    """Return the parameter `q` of `FOUND`."""
    terms: list[dict[str, Any]] = []
    for alternative, alternative_terms in enumerate(search.alternatives):
        needed = sum(not term.is_excluded for term in alternative_terms) or 1
        here = {"alternative": alternative, "needed": needed}
        if all(term.is_excluded for term in alternative_terms):
            terms.append({**here, "number": 0, "is_excluded": False, "query": None, "plain": ""})
        terms += [
            {
                **here,
                "number": number,
                "is_excluded": term.is_excluded,
                "query": term.query,
                "plain": term.plain,
            }
            for number, term in enumerate(alternative_terms, start=1)
        ]
    return json.dumps(terms)


def searchable(name: str) -> str:
    """Return a name with its words separated, for an older version: to PostgreSQL `holiday-2026.jpg` is one word."""
    return name + " " + "".join(character if character.isalnum() else " " for character in name)
