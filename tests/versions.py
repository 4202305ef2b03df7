"""A newer version of the program: a copy of this one with one more migration."""

import shutil
from pathlib import Path

from bootstrap.migrations.lineage import our_history

ROOT = Path(__file__).parents[1]
NEWER = "feedfeedfeed"
"""The revision of its migration."""

EXPANDING = """
    op.add_column("users", sa.Column("nickname", sa.Text(), nullable=True), schema="users")
    op.create_table("pets", sa.Column("name", sa.Text(), primary_key=True), schema="users")
"""
_MODELS = """

from sqlalchemy import Column, Text
from sqlalchemy import Table as SqlTable

User.__table__.append_column(Column("nickname", Text, nullable=True))
SqlTable("pets", User.metadata, Column("name", Text, primary_key=True), schema="users")
"""
CONTRACTING = """
    op.drop_column("users", "unverified_since", schema="users")
"""
_MIGRATION = '''
"""users: what the next version needs."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{head}"
branch_labels = None
depends_on = None
{more}

def upgrade() -> None:
{upgrade}
'''


def newer_version(folder: Path, upgrade: str = EXPANDING, *, fits_since: str | None = None) -> Path:
    """Copy the program into `folder`, and add a migration; return the folder, to run `python -m` in."""
    for part in ("bootstrap", "domains", "shared", "tools", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "data"))
    if upgrade == EXPANDING:
        with (folder / "domains/users/models.py").open("a") as models:
            models.write(_MODELS)
    more = f'fits_since = "{fits_since}"\n' if fits_since else ""
    text = _MIGRATION.format(revision=NEWER, head=our_history().head, more=more, upgrade=upgrade.strip("\n"))
    (folder / "bootstrap/migrations/versions/2030_01_01_users_next.py").write_text(text.lstrip())
    return folder
