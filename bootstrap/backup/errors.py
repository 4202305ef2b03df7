"""Errors of backups and restores."""


class BackupRefused(Exception):
    """A refused backup or restore. Nothing was changed, unless the sentence says otherwise."""


class Uncertain(Exception):
    """The connection was lost during the COMMIT of a restore."""

    def __str__(self) -> str:
        """Describe both possible states."""
        return (
            "The connection to PostgreSQL was lost during COMMIT. The database has either its old contents or the"
            " complete backup. Run `tulou restore` again."
        )
