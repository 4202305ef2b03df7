"""What other domains may see of accounts: the facts that others may react to."""

from uuid import UUID

from shared.events import Event


class AccountVerified(Event):
    """A person has shown that mail to the address is theirs: `user_id` is the new account."""

    about = "user"
    user_id: UUID


class PasswordChanged(Event):
    """A password was changed or reset; the person is told by mail.

    It has no `owner_id`: whoever has taken over an account must not find, and cancel, the job that warns its owner.
    """

    user_id: UUID


class AccountDeleted(Event):
    """An account is closed, and what was stored in it is erased now: its owner deleted it, or its address was verified.

    With the first verification another account takes the address (`AccountVerified`), and the provisional one ends.

    It has no `owner_id`: the jobs that it causes must outlive the erasure of the owner's jobs.
    """

    user_id: UUID
