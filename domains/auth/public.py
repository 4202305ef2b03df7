"""What other domains may use of accounts: events."""

from uuid import UUID

from shared.events import Event, OwnedEvent


class AccountVerified(OwnedEvent):
    """An address was verified for the first time. `user_id` is the new account."""

    about = "user"
    user_id: UUID


class PasswordChanged(Event):
    """A password was changed or reset; the person is told by mail.

    It has no `owner_id`, so that an attacker who has taken over an account can't cancel the job that warns its owner.
    """

    user_id: UUID


class AccountDeleted(Event):
    """An account was closed, and its data is to be erased.

    Its owner deleted it, its address was verified for the first time (`AccountVerified` names the account that replaces
    it), or it was never verified.

    It has no `owner_id`: the jobs that it causes must outlive the erasure of the owner's jobs.
    """

    user_id: UUID
