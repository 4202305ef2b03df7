"""Two versions, a migration between them, forward and back, under load."""

import asyncio
import shutil
from pathlib import Path

from bootstrap.migrations.runner import FOLDER
from tools.drill.commands import PROJECT, last_line, tulou
from tools.drill.register import Finding, rehearsal
from tools.drill.stage import Stage, stage
from tools.faults.harness import Harness

NEXT = '''"""The next release: more columns, and an index."""

import sqlalchemy as sa
from alembic import op

revision = "nextrelease1"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("note", sa.Text(), nullable=True), schema="jobs")
    op.add_column("users", sa.Column("nickname", sa.Text(), nullable=True), schema="users")
    with op.get_context().autocommit_block():
        op.create_index("ix_jobs_note", "jobs", ["note"], schema="jobs", postgresql_concurrently=True)
'''


def next_release(folder: Path, head: str) -> Path:
    """Copy the program, and add a migration; return the folder."""
    copy = folder / "next-release"
    for package in ("bootstrap", "domains", "shared", "tools", "tests"):
        shutil.copytree(PROJECT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    versions = copy / FOLDER.relative_to(PROJECT) / "versions"
    (versions / "2099_01_01_next_release_nextrelease1.py").write_text(NEXT.format(head=head))
    return copy


@rehearsal(
    "release",
    "A release with a migration, and the way back",
    expected="no request is refused, the older `migrate` ends with 0, no job is lost",
)
async def a_release_goes_out_and_back(harness: Harness) -> Finding:
    finding = Finding()
    head = await harness.value("SELECT version_num FROM alembic_version")
    newer = await asyncio.to_thread(next_release, harness.folder, head)
    async with stage(harness) as scene:
        async with scene.going_on(finding):
            await asyncio.sleep(harness.seconds(10))
            await _release(harness, scene, finding, newer)
            await asyncio.sleep(harness.seconds(10))
            await _release(harness, scene, finding, PROJECT)
            await asyncio.sleep(harness.seconds(10))
        await scene.judge(finding)
    finding.expect_no_refusal()
    return finding


async def _release(harness: Harness, scene: Stage, finding: Finding, program: Path) -> None:
    """Do what a deployment does: migrate, then replace one process after the other."""
    code, said = await tulou(harness, "migrate", program=program)
    finding.expect(code == 0, f"`tulou migrate` ended with {code}: {last_line(said)}")
    scene.run_from(program)
    await scene.replace_apis()
    await scene.replace_the_others()
