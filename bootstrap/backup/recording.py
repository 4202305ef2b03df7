"""Records a complete backup in the database."""

from datetime import datetime

from bootstrap.backup.last_backup import comment_on
from bootstrap.backup.tables import connect, owner_url
from bootstrap.settings.model import Settings


async def record(settings: Settings, moment: datetime) -> None:
    """Record that a complete backup was taken at this time.

    Raises:
        PostgresError, OSError: it can't be recorded.
    """
    connection = await connect(owner_url(settings), name="tulou-backup")
    try:
        await connection.execute(comment_on(moment))
    finally:
        connection.terminate()
