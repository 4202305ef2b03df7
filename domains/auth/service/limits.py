"""Limits on guessing and on mails. An attempt is counted before the secret is checked, and stays counted if refused."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from domains.auth.errors import TooManyAttempts
from domains.auth.gateway.secrets import TokenKeys
from domains.auth.models import AttemptKind
from domains.auth.repository.attempts import AttemptRepository
from domains.auth.schemas.client_info import ClientInfo
from domains.auth.schemas.limits import AttemptsRow
from domains.auth.service.keyed_lock import KeyedLock
from domains.auth.settings import AuthSettings
from domains.users.public import key_of_address, key_of_mailbox
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.errors import Quota


@dataclass(frozen=True, slots=True)
class _Limit:
    """At most `most` attempts of a kind in `window` seconds for one text.

    With `by=0` the statement runs, so that timing stays equal, but counts nothing.
    """

    kind: AttemptKind
    text: str
    most: int
    window: int
    by: int = 1

    @property
    def quota(self) -> Quota:
        """The quota shown to clients. It does not reveal whether the account is known in their network."""
        kind = AttemptKind.LOGIN_ADDRESS if self.kind is AttemptKind.LOGIN_PAIR else self.kind
        return Quota(kind, self.most, self.window)

    def check(self, row: AttemptsRow, now: datetime) -> None:
        """Raise TooManyAttempts if the counter is above the limit."""
        if self.is_exceeded(row):
            raise TooManyAttempts(retry_after=(row.expires_at - now).total_seconds(), quota=self.quota)

    def is_exceeded(self, row: AttemptsRow) -> bool:
        """Tell whether the counter is above the limit."""
        return bool(self.by) and row.count > self.most


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """The counters of a sign-in. The network's is not raised if the account is known there."""

    account: _Limit
    network: _Limit


@dataclass(kw_only=True, eq=False)
class Limits:
    """Counts attempts in separate transactions, so that all parallel guesses count and an error undoes no count."""

    attempts: AttemptRepository
    key: TokenKeys
    keyed_lock: KeyedLock
    settings: AuthSettings
    transaction: TransactionFactory
    clock: Clock
    refused: Counter[AttemptKind] = field(default_factory=Counter, init=False)
    """How many attempts this process has refused, by the limit that was exceeded."""

    @asynccontextmanager
    async def serialized_login(
        self, username: str, client_info: ClientInfo, *, is_known: bool
    ) -> AsyncIterator[bool]:
        """Wait until no other sign-in of the same counter is being checked in this process; yield whether it waited.

        So each network that the account is known in has a queue of its own, which strangers elsewhere can't fill.

        Raises:
            TooManyAttempts: a limit was exceeded before, too many wait already, or it took too long.
        """
        attempt = self._of_login(username, client_info, is_known=is_known)
        key = self._key(attempt.account)
        must_wait = self.keyed_lock.is_busy(key)
        if must_wait:
            await self._refuse_if_exceeded([attempt.account, attempt.network])
        async with self.keyed_lock.hold(key):
            yield must_wait

    async def count_login(self, username: str, client_info: ClientInfo, *, is_known: bool) -> LoginAttempt:
        """Count a sign-in as failed; `forgive_login` takes that back if the password is right.

        If the account has signed in from this network before (`is_known`), only its failures from this network count.
        So a stranger can lock out neither the owner nor the other people who sign in from that network.

        Raises:
            TooManyAttempts: a limit is exceeded.
        """
        attempt = self._of_login(username, client_info, is_known=is_known)
        await self._count([attempt.account, attempt.network])
        return attempt

    async def release_login(self, attempt: LoginAttempt) -> None:
        """Take the count back: the sign-in ended before its password was checked."""
        async with self.transaction(separate=True):
            await self.attempts.take_back(attempt.account.kind, self._key(attempt.account))
            await self._take_back_network(attempt)

    async def forgive_login(self, attempt: LoginAttempt) -> None:
        """The password was right: reset the account's counter, and take back the count of the network."""
        async with self.transaction():
            await self.attempts.reset(attempt.account.kind, self._key(attempt.account))
            await self._take_back_network(attempt)

    async def forgive_address(self, email: str, client_info: ClientInfo) -> None:
        """Reset the counters of an address after its owner has reset the password by mail."""
        async with self.transaction():
            for limit in (self._of_address(email), self._of_pair(email, client_info.network)):
                await self.attempts.reset(limit.kind, self._key(limit))

    async def count_mail(self, email: str, client_info: ClientInfo) -> None:
        """Count a requested mail by network and by mailbox, whether or not the mailbox has an account.

        Raises:
            TooManyAttempts: a limit is exceeded. A request refused by the network limit does not count towards the
                mailbox limit.
        """
        network = self._limit(AttemptKind.MAIL_NETWORK, client_info.network)
        await self._count([network, self._of_mailbox(email)])

    async def count_password_check(self, user_id: UUID) -> None:
        """Count a confirming password as wrong, so that a stolen session can't be used to guess it.

        Raises:
            TooManyAttempts: the limit is exceeded.
        """
        await self._count([self._of_checks(user_id)])

    async def forgive_password_check(self, user_id: UUID) -> None:
        """The password was right: reset the counter."""
        limit = self._of_checks(user_id)
        # Separate, because a hash follows during which no connection may be held.
        async with self.transaction(separate=True):
            await self.attempts.reset(limit.kind, self._key(limit))

    async def find_counters(
        self, user_id: UUID, email: str, networks: Sequence[str]
    ) -> Sequence[tuple[AttemptKind, str, int, AttemptsRow]]:
        """Return the counters of a person in their present window: kind, network if any, limit, and the counter."""
        now, found = self.clock.now(), []
        for network, limit in self._of_person(user_id, email, networks):
            row = await self.attempts.find(limit.kind, self._key(limit), now)
            if row is not None and row.count:
                found.append((limit.kind, network, limit.most, row))
        return found

    async def clear(self, user_id: UUID, email: str, networks: Sequence[str]) -> None:
        """Reset the counters of a person, in the open transaction; those of networks stay."""
        for _, limit in self._of_person(user_id, email, networks):
            await self.attempts.reset(limit.kind, self._key(limit))

    def _of_person(self, user_id: UUID, email: str, networks: Sequence[str]) -> Sequence[tuple[str, _Limit]]:
        pairs = [(network, self._of_pair(email, network)) for network in networks]
        others = [self._of_checks(user_id), self._of_mailbox(email)]
        return [("", self._of_address(email)), *pairs, *(("", limit) for limit in others)]

    async def _take_back_network(self, attempt: LoginAttempt) -> None:
        if attempt.network.by:
            await self.attempts.take_back(attempt.network.kind, self._key(attempt.network))

    async def _count(self, limits: Sequence[_Limit]) -> None:
        """Count one after the other, up to the first that is exceeded."""
        now = self.clock.now()
        async with self.transaction(separate=True):
            for limit in limits:
                row = await self.attempts.count_one(
                    limit.kind,
                    self._key(limit),
                    by=limit.by,
                    now=now,
                    expires_at=now + timedelta(seconds=limit.window),
                )
                if limit.is_exceeded(row):
                    break
        self._check(limit, row, now)

    async def _refuse_if_exceeded(self, limits: Sequence[_Limit]) -> None:
        """Refuse if one of these counters is already exceeded, without counting the attempt."""
        now = self.clock.now()
        rows = [(limit, await self.attempts.find(limit.kind, self._key(limit), now)) for limit in limits]
        for limit, row in rows:
            if row is not None:
                self._check(limit, row, now)

    def _check(self, limit: _Limit, row: AttemptsRow, now: datetime) -> None:
        self.refused[limit.kind] += limit.is_exceeded(row)
        limit.check(row, now)

    def _of_login(self, username: str, client_info: ClientInfo, *, is_known: bool) -> LoginAttempt:
        network = client_info.network
        account = self._of_pair(username, network) if is_known else self._of_address(username)
        by = 0 if is_known else 1
        return LoginAttempt(account, self._limit(AttemptKind.LOGIN_NETWORK, network, by=by))

    def _of_address(self, username: str) -> _Limit:
        return self._limit(AttemptKind.LOGIN_ADDRESS, key_of_address(username))

    def _of_pair(self, username: str, network: str) -> _Limit:
        return self._limit(AttemptKind.LOGIN_PAIR, f"{network} {key_of_address(username)}")

    def _of_mailbox(self, email: str) -> _Limit:
        return self._limit(AttemptKind.MAIL, key_of_mailbox(email))

    def _of_checks(self, user_id: UUID) -> _Limit:
        return self._limit(AttemptKind.PASSWORD_CHECK, str(user_id))

    def _limit(self, kind: AttemptKind, text: str, *, by: int = 1) -> _Limit:
        settings = self.settings
        match kind:
            case AttemptKind.LOGIN_NETWORK:
                most, window = settings.auth_network_limit, settings.auth_network_window
            case AttemptKind.MAIL:
                most, window = settings.auth_mail_limit, settings.auth_mail_window
            case AttemptKind.MAIL_NETWORK:
                most, window = settings.auth_mail_network_limit, settings.auth_mail_network_window
            case _:
                most, window = settings.auth_login_limit, settings.auth_login_window
        return _Limit(kind, text, most, window, by)

    def _key(self, limit: _Limit) -> bytes:
        # Keyed, so that a copy of the database does not reveal addresses that tried to sign in.
        return self.key.keyed_hash(f"attempts:{limit.kind}", limit.text)
