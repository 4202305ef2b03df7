"""How columns are written into migrations."""

from typing import Literal

from sqlalchemy import Enum
from sqlmodel.sql.sqltypes import AutoString


def written(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Write texts and enums as what they are in the database, so that a migration needs no model."""
    if kind == "type" and isinstance(item, Enum):
        return f"sa.String(length={item.length})"
    if kind == "type" and isinstance(item, AutoString):
        return "sa.Text()" if item.length is None else f"sa.String(length={item.length})"
    return False
