"""Stores responses for requests that are sent again (`shared.idempotency.StoredResponses`)."""

import base64
import hmac
from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from datetime import timedelta
from uuid import UUID

from domains.idempotency.repository import KeyRepository
from domains.idempotency.schemas import KeyRow
from domains.idempotency.settings import IdempotencySettings
from shared.db.database import TransactionFactory
from shared.idempotency import Attempt, InProgress, KeyedRequest, KeyReused, StoredResponse
from shared.ids import new_id

RETRY_AFTER = 1.0
"""Seconds after which a client may repeat a request that is still in progress."""
_BATCH = 1000
_TRIES = 3


@dataclass(kw_only=True, eq=False)
class StoredResponseService:
    """Lets each request be done once. Deletes its response after a time, and with the account of its sender.

    Bodies are stored as they are: they show what other tables hold in the clear too. Secrets that are shown only once
    are never given to it.

    `secrets`: the installation's own keys, in base64url. Requests are stored under the first, found under all.
    """

    repository: KeyRepository
    settings: IdempotencySettings
    secrets: InitVar[Sequence[str]]
    transaction: TransactionFactory
    _secrets: list[bytes] = field(init=False)

    def __post_init__(self, secrets: Sequence[str]) -> None:
        """Decode the keys."""
        self._secrets = [base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4)) for secret in secrets]

    @property
    def max_body(self) -> int:
        """Largest stored body in bytes."""
        return self.settings.idempotency_max_body_bytes

    async def begin(self, request: KeyedRequest) -> Attempt | StoredResponse:
        """Commit that the request is being worked on, or return its stored response.

        Raises:
            KeyReused: the key was used with other content.
            InProgress: it is being worked on, and its lease hasn't run out.
        """
        (identity, content), *other_hashes = [self._keyed_hashes(request, secret) for secret in self._secrets]
        attempt = Attempt(identity, new_id())
        for _ in range(_TRIES):
            if await self._claim(attempt, content, request.owner_id):
                return await self._find_stored_elsewhere(attempt, other_hashes) or attempt
            found = await self.repository.find(identity)
            if found is not None:
                return _stored_response(found, content)
        raise InProgress(retry_after=RETRY_AFTER)

    async def finish(self, attempt: Attempt, response: StoredResponse) -> None:
        """Store the response in the open transaction, which holds the effect too.

        Raises:
            InProgress: another attempt has taken over; the effect is rolled back with this.
        """
        async with self.transaction():
            kept = await self.repository.finish(
                attempt.identity,
                attempt.token,
                status=response.status,
                headers=[list(header) for header in response.headers],
                body=response.body,
                streamed=response.streamed,
            )
            if not kept:
                raise InProgress(retry_after=RETRY_AFTER)

    async def give_up(self, attempt: Attempt) -> None:
        """Release the key: nothing was done, so the next attempt may begin at once."""
        await self.repository.give_up(attempt.identity, attempt.token)

    async def prune(self) -> int:
        """Delete expired keys; return how many."""
        forgotten = last = await self.repository.prune(batch=_BATCH)
        while last == _BATCH:
            last = await self.repository.prune(batch=_BATCH)
            forgotten += last
        return forgotten

    async def purge(self, owner_id: UUID) -> None:
        """Delete the keys and responses of a person."""
        async with self.transaction():
            await self.repository.purge_owner(owner_id)

    async def _claim(self, attempt: Attempt, content: bytes, owner_id: UUID | None) -> bool:
        """Commit the key before the work starts, so that other processes see it."""
        async with self.transaction(separate=True):
            return await self.repository.begin(
                attempt.identity,
                content,
                owner_id=owner_id,
                token=attempt.token,
                lease=timedelta(seconds=self.settings.idempotency_lease),
                keep=timedelta(hours=self.settings.idempotency_keep_hours),
            )

    async def _find_stored_elsewhere(
        self, attempt: Attempt, hashes: Sequence[tuple[bytes, bytes]]
    ) -> StoredResponse | None:
        """Return the response that a process with another first key has stored, if there is one.

        Called after our key is committed: of two processes at once, at least one sees the other's key.

        Raises:
            KeyReused, InProgress: as `begin` does.
        """
        for identity, content in hashes:
            found = await self.repository.find_current(identity)
            if found is not None:
                await self.give_up(attempt)
                return _stored_response(found, content)
        return None

    def _keyed_hashes(self, request: KeyedRequest, secret: bytes) -> tuple[bytes, bytes]:
        """Return keyed hashes: a request may hold a password, which a plain one would let be guessed."""
        identity, content = (
            hmac.digest(secret, b"idempotency\x00" + message, "sha256")
            for message in (request.identity, request.content)
        )
        return identity, content


def _stored_response(found: KeyRow, content: bytes) -> StoredResponse:
    if not hmac.compare_digest(found.content, content):
        raise KeyReused
    if found.status is None:
        raise InProgress(retry_after=RETRY_AFTER)
    return StoredResponse(found.status, found.headers or [], found.body, found.streamed)
