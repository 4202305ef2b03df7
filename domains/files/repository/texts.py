"""The SQL about what files are found by: their names, and the text of documents in pieces."""

import json
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Text, bindparam, case, delete, insert, select, text, update
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import col

from domains.files.models import FileText
from domains.files.schemas import OldTextRow, TextOwnerRow
from shared.db.fulltext import Piece, Search, vector_of
from shared.db.repository import Repository
from shared.db.statement import Nothing, Statement
from shared.db.transaction import current_session

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
            SELECT file_id FROM files.texts WHERE owner_id = :owner AND texts.terms @@ query OFFSET 0
          ) AS found
        UNION ALL
        SELECT found.file_id, alternative, needed, number, is_excluded
          FROM terms CROSS JOIN LATERAL (
            SELECT file_id FROM files.texts
              WHERE owner_id = :owner AND texts.terms IS NULL AND search @@ phraseto_tsquery('simple', plain)
            OFFSET 0
          ) AS found
        UNION ALL
        SELECT every.id, alternative, needed, number, is_excluded
          FROM terms JOIN files.files AS every ON every.owner_id = :owner
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
"""A file is found when of one alternative every term is in one of its pieces, and no excluded one is in any.

`q` is what `query_json` returns. The second part is for pieces of the version before, until `files.index` has run;
the third for alternatives that only exclude. `OFFSET 0` keeps PostgreSQL from reading all pieces of an owner: the index
is asked for each term.
"""
_OF_FILE = col(FileText.file_id) == bindparam("file")
_DELETE_TEXT = Statement(delete(FileText).where(_OF_FILE), Nothing)
_RENAME_TEXTS = Statement(
    update(FileText)
    .where(_OF_FILE)
    .values(
        name=bindparam("new_name"),
        terms=case(
            (
                (col(FileText.part) == 0) & col(FileText.terms).is_not(None),
                bindparam("new_terms", type_=TSVECTOR),
            ),
            else_=col(FileText.terms),
        ),
    ),
    Nothing,
)
_NOT_INDEXED = Statement(
    select(col(FileText.file_id), col(FileText.owner_id))
    .where(col(FileText.terms).is_(None), col(FileText.part) == 0)
    .limit(bindparam("most")),
    TextOwnerRow,
)
_OLD_TEXTS = Statement(
    select(col(FileText.body), col(FileText.terms).is_not(None).label("is_indexed"))
    .where(_OF_FILE)
    .order_by(col(FileText.part)),
    OldTextRow,
)


class FileTexts(Repository):
    """Keeps what files are found by. Piece 0 is the name, the others are the text."""

    async def set_text(self, file_id: UUID, owner_id: UUID, name: str, pieces: Sequence[Piece]) -> None:
        """Replace what a search finds this file by."""
        await self.database.execute(_DELETE_TEXT, file=file_id)
        row = {"file_id": file_id, "owner_id": owner_id, "name": searchable(name)}
        connection = await (await current_session()).connection()
        await connection.execute(
            insert(FileText),
            [
                {**row, "part": part, "body": piece.body, "terms": piece.vector}
                for part, piece in enumerate([Piece("", vector_of(name)), *pieces])
            ],
        )

    async def rename_text(self, file_id: UUID, name: str) -> None:
        """Let a search find this file by another name."""
        await self.database.execute(
            _RENAME_TEXTS, file=file_id, new_name=searchable(name), new_terms=vector_of(name)
        )

    async def not_indexed(self, most: int) -> list[TextOwnerRow]:
        """Return files whose text was kept by the version before."""
        return await self.database.fetch_all(_NOT_INDEXED, most=most)

    async def old_text(self, file_id: UUID) -> str | None:
        """Return the text that the version before kept; None: it is indexed, or gone."""
        rows = await self.database.fetch_all(_OLD_TEXTS, file=file_id)
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
    """Return a name with its words apart, for the version before: PostgreSQL would take `holiday-2026.jpg` for one."""
    return name + " " + "".join(character if character.isalnum() else " " for character in name)
