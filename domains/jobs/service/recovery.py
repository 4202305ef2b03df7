"""Jobs after a restore."""

from dataclasses import dataclass
from datetime import datetime

from domains.jobs.repository.recovery import RecoveryRepository
from shared.db.database import TransactionFactory


@dataclass(eq=False)
class JobRecovery:
    """Makes restored jobs due again."""

    rows: RecoveryRepository
    transaction: TransactionFactory

    async def recover(self, taken_at: datetime) -> str:  # noqa: ARG002  # the time of the backup does not matter
        """Queue running jobs again; delete workers and wake-ups."""
        async with self.transaction():
            taken = await self.rows.take_back()
            await self.rows.reset_wake_ups()
            await self.rows.delete_workers()
        return f"{taken} jobs that were running start again"
