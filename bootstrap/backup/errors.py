"""Why a backup can't be taken, or can't be restored."""


class BackupRefused(Exception):
    """It can't be done, and nothing was changed, unless the sentence says so."""


class Uncertain(Exception):
    """The connection was lost while a restore committed."""

    def __str__(self) -> str:
        """Say what may be there."""
        return (
            "The connection to PostgreSQL was lost while the restore committed: the database has either all that it"
            " had or all of the backup, and `tulou restore` can be run again."
        )
