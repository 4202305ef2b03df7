"""A primary and a replica that really streams from it, both embedded."""

import shutil
import subprocess
from pathlib import Path

from tools.dev.account import Account, server_account
from tools.dev.folders import give_to, prepare_server_folder
from tools.dev.postgres import EmbeddedPostgres
from tools.dev.processes import ServerProcess
from tools.dev.programs import postgres_programs


class Standby(EmbeddedPostgres):
    """A copy of a running `primary`, that follows it."""

    def __init__(self, directory: Path, primary: EmbeddedPostgres) -> None:
        super().__init__(directory)
        self._primary = primary
        self._primary_folder = directory.parent / "postgres"

    def start(self) -> None:
        """Copy the primary, once; then follow it."""
        account = server_account()
        folder = prepare_server_folder(self._directory, account)
        if not (folder / "data").exists():
            self._copy(folder, account)
        super().start()

    def _copy(self, folder: Path, account: Account | None) -> None:
        shutil.copy(self._primary_folder.resolve() / "passwords.json", folder / "passwords.json")
        (folder / "data").mkdir(mode=0o700)
        give_to(account, folder / "data")
        subprocess.run(
            [
                str(postgres_programs(account) / "pg_basebackup"),
                *(f"--pgdata={folder / 'data'}", f"--dbname={self._primary.superuser_url}"),
                *("--write-recovery-conf", "--checkpoint=fast", "--no-sync"),
            ],
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            cwd="/",
            check=True,
            timeout=60,
        )

    def _new_process(self, programs: Path, folder: Path, account: Account | None) -> ServerProcess:
        process = super()._new_process(programs, folder, account)
        process._ready_text = b"database system is ready to accept read-only connections"
        return process
