"""Keeping answers for requests that are sent again (`shared.idempotency.StoredResponses`)."""

import base64
import hmac
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from domains.idempotency.repository import KeyRepository
from domains.idempotency.schemas import KeyRow
from domains.idempotency.settings import IdempotencySettings
from shared.db.database import TransactionFactory
from shared.idempotency import Attempt, InProgress, KeyedRequest, KeyReused, StoredResponse
from shared.ids import new_id

RETRY_AFTER = 1.0
"""Seconds after which a request that is still being worked on may be asked for again."""
_BATCH = 1000
_TRIES = 3


class StoredResponseService:
    """Lets each request be done once, forgets its answer in time, and with the person who made it.

    Bodies are kept as they are: they show what other tables hold in the clear too. What would not be there, secrets
    that are shown once, is never given to it.
    """

    def __init__(
        self,
        keys: KeyRepository,
        *,
        transaction: TransactionFactory,
        settings: IdempotencySettings,
        secrets: Sequence[str],
    ) -> None:
        """`secrets`: the installation's own keys, in base64url; requests are kept under the first, found under all."""
        self.max_body = settings.idempotency_max_body_bytes
        self.keys = keys
        self.transaction = transaction
        self._lease = timedelta(seconds=settings.idempotency_lease)
        self._keep = timedelta(hours=settings.idempotency_keep_hours)
        self._secrets = [base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4)) for secret in secrets]

    async def begin(self, request: KeyedRequest) -> Attempt | StoredResponse:
        """Commit that the request is being worked on, or return how it was answered.

        Raises:
            KeyReused: the key was used with other content.
            InProgress: it is being worked on, and its lease hasn't run out.
        """
        (identity, content), *other_hashes = [self._keyed_hashes(request, secret) for secret in self._secrets]
        attempt = Attempt(identity, new_id())
        for _ in range(_TRIES):
            if await self._claim(attempt, content, request.owner_id):
                return await self._find_stored_elsewhere(attempt, other_hashes) or attempt
            found = await self.keys.find(identity)
            if found is not None:
                return _stored_response(found, content)
        raise InProgress(retry_after=RETRY_AFTER)

    async def finish(self, attempt: Attempt, response: StoredResponse) -> None:
        """Keep the answer in the open transaction, which holds the effect too.

        Raises:
            InProgress: another attempt has taken over; the effect is rolled back with this.
        """
        async with self.transaction():
            kept = await self.keys.finish(
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
        """Let the next attempt begin at once: nothing was done."""
        await self.keys.give_up(attempt.identity, attempt.token)

    async def prune(self) -> int:
        """Forget what is over; return how many."""
        forgotten = last = await self.keys.prune(batch=_BATCH)
        while last == _BATCH:
            last = await self.keys.prune(batch=_BATCH)
            forgotten += last
        return forgotten

    async def purge(self, owner_id: UUID) -> None:
        """Forget what a person was answered."""
        async with self.transaction():
            await self.keys.purge_owner(owner_id)

    async def _claim(self, attempt: Attempt, content: bytes, owner_id: UUID | None) -> bool:
        """Commit the key before anything is done, so that others see it."""
        async with self.transaction(separate=True):
            return await self.keys.begin(
                attempt.identity,
                content,
                owner_id=owner_id,
                token=attempt.token,
                lease=self._lease,
                keep=self._keep,
            )

    async def _find_stored_elsewhere(
        self, attempt: Attempt, hashes: Sequence[tuple[bytes, bytes]]
    ) -> StoredResponse | None:
        """Return the answer to this request that a process with another first key has kept; None: there is none.

        Asked once ours is committed: of two processes at once, at least one sees the other.

        Raises:
            KeyReused, InProgress: as `begin` does.
        """
        for identity, content in hashes:
            found = await self.keys.find_current(identity)
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
