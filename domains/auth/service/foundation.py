"""What every use case of this domain stands on."""

from dataclasses import dataclass

from domains.auth.repository.accounts import AccountRepository
from domains.auth.repository.sessions import SessionRepository
from domains.auth.service.trail import Trail
from domains.auth.settings import AuthSettings
from domains.users.public import UserDirectory
from shared.clock import Clock
from shared.database import TransactionFactory
from shared.jobs import Outbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """Given to each service whole."""

    settings: AuthSettings
    transaction: TransactionFactory
    clock: Clock
    outbox: Outbox
    users: UserDirectory
    accounts: AccountRepository
    sessions: SessionRepository
    trail: Trail
