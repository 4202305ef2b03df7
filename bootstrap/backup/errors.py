"""Why a backup can't be taken, or can't be restored."""


class BackupRefused(Exception):
    """Nothing was changed, unless the sentence says so."""
