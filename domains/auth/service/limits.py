"""Limits that protect secrets: rows that are counted before the secret is looked at, and that survive the refusal."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from uuid import UUID

from domains.auth.errors import TooManyAttempts
from domains.auth.gateway.secrets import TokenKey
from domains.auth.models import AttemptKind
from domains.auth.repository.attempts import AttemptRepository
from domains.auth.schemas import Visitor
from domains.auth.settings import AuthSettings
from domains.users.public import key_of_address
from shared.clock import Clock
from shared.database import TransactionFactory
from shared.errors import Quota

TURN_SECONDS = 10.0
"""How long a sign-in waits for others of the same address to end."""

TURN_PAUSE = (0.02, 0.08)
"""Seconds between two looks whether they have."""


@dataclass(frozen=True, slots=True)
class _Limit:
    """At most `most` attempts of a kind in `window` seconds for one text."""

    kind: AttemptKind
    text: str
    most: int
    window: int

    @property
    def quota(self) -> Quota:
        """What clients are told of it."""
        return Quota(self.kind, self.most, self.window)


class Limits:
    """Counts attempts, in transactions of their own: parallel guesses can't pass, and a 401 takes nothing back."""

    def __init__(
        self,
        attempts: AttemptRepository,
        *,
        key: TokenKey,
        settings: AuthSettings,
        transaction: TransactionFactory,
        clock: Clock,
    ) -> None:
        self.attempts = attempts
        self.key = key
        self.settings = settings
        self.transaction = transaction
        self.clock = clock

    async def begin_login(self, username: str, visitor: Visitor) -> None:
        """Take one of the attempts that the address (known or not) and the visitor's network have left.

        While all that are left are under way, it waits for how they end: many correct sign-ins at once are no guessing.

        Raises:
            TooManyAttempts: one of the two has no more attempts in its window.
        """
        await self._count([self._of_network(visitor)])
        address = self._of_address(username)
        until = time.monotonic() + TURN_SECONDS
        while not await self._take_turn(address):
            if time.monotonic() > until:
                raise TooManyAttempts(retry_after=TURN_SECONDS, quota=address.quota)
            await asyncio.sleep(random.uniform(*TURN_PAUSE))  # noqa: S311  # jitter, not a secret

    async def fail_login(self, username: str) -> None:
        """The sign-in was wrong: count it."""
        await self._end_turn(username, failed=True)

    async def release_login(self, username: str) -> None:
        """The sign-in ended without a verdict on the password."""
        async with self.transaction(own=True):
            await self._end_turn(username, failed=False)

    async def forgive_login(self, username: str, visitor: Visitor) -> None:
        """The sign-in was right: forget the address's failures, and that this one was counted for the network."""
        async with self.transaction():
            address, network = self._of_address(username), self._of_network(visitor)
            await self._end_turn(username, failed=False)
            await self.attempts.reset(address.kind, self._key(address))
            await self.attempts.take_back(network.kind, self._key(network))

    async def forgive_address(self, email: str) -> None:
        """The owner has shown who they are in another way: let them sign in again."""
        limit = self._of_address(email)
        async with self.transaction():
            await self.attempts.reset(limit.kind, self._key(limit))

    async def count_mail(self, email: str) -> None:
        """Count a mail that anybody can ask for, by its address (known or not).

        Raises:
            TooManyAttempts: no more in this window.
        """
        settings = self.settings
        await self._count(
            [
                _Limit(
                    AttemptKind.MAIL,
                    key_of_address(email),
                    settings.auth_mail_limit,
                    settings.auth_mail_window,
                )
            ]
        )

    async def count_password_check(self, user_id: UUID) -> None:
        """Count a confirmation by password as wrong: a borrowed session must not be a way to guess.

        Raises:
            TooManyAttempts: no more in this window.
        """
        await self._count([self._of_checks(user_id)])

    async def forgive_password_check(self, user_id: UUID) -> None:
        """The password was right: forget the wrong ones."""
        limit = self._of_checks(user_id)
        # Of its own: a hash follows, and no connection is held meanwhile.
        async with self.transaction(own=True):
            await self.attempts.reset(limit.kind, self._key(limit))

    async def _take_turn(self, limit: _Limit) -> bool:
        now, key = self.clock.now(), self._key(limit)
        async with self.transaction(own=True):
            row = await self.attempts.begin_one(
                limit.kind, key, now=now, expires_at=now + timedelta(seconds=limit.window)
            )
            mine = row.count + row.under_way <= limit.most
            if not mine:
                await self.attempts.end_one(limit.kind, key, failed=False)
        if row.count >= limit.most:
            raise TooManyAttempts(retry_after=(row.expires_at - now).total_seconds(), quota=limit.quota)
        return mine

    async def _end_turn(self, username: str, *, failed: bool) -> None:
        limit = self._of_address(username)
        await self.attempts.end_one(limit.kind, self._key(limit), failed=failed)

    async def _count(self, limits: Sequence[_Limit]) -> None:
        now = self.clock.now()
        over: list[tuple[datetime, _Limit]] = []
        async with self.transaction(own=True):
            for limit in limits:
                row = await self.attempts.count_one(
                    limit.kind, self._key(limit), now=now, expires_at=now + timedelta(seconds=limit.window)
                )
                if row.count > limit.most:
                    over.append((row.expires_at, limit))
        if over:
            until, reached = max(over, key=itemgetter(0))
            raise TooManyAttempts(retry_after=(until - now).total_seconds(), quota=reached.quota)

    def _of_address(self, username: str) -> _Limit:
        return _Limit(
            AttemptKind.LOGIN_ADDRESS,
            key_of_address(username),
            self.settings.auth_login_limit,
            self.settings.auth_login_window,
        )

    def _of_network(self, visitor: Visitor) -> _Limit:
        return _Limit(
            AttemptKind.LOGIN_NETWORK,
            visitor.network,
            self.settings.auth_network_limit,
            self.settings.auth_network_window,
        )

    def _of_checks(self, user_id: UUID) -> _Limit:
        return _Limit(
            AttemptKind.PASSWORD_CHECK,
            str(user_id),
            self.settings.auth_login_limit,
            self.settings.auth_login_window,
        )

    def _key(self, limit: _Limit) -> bytes:
        return self.key.hidden(f"attempts:{limit.kind}", limit.text)
