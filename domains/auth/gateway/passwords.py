"""Password hashing, on a few threads of its own: on the event loop it would stall all other requests."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import TypeVar

from pwdlib.hashers.argon2 import Argon2Hasher

from domains.auth.errors import HashingBusy
from domains.auth.settings import AuthSettings
from shared.text import composed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a password matches; `new_hash`: replaces a hash that was made with weaker settings."""

    matches: bool
    new_hash: str | None = None


class PasswordHasher:
    """Makes and checks Argon2id hashes (RFC 9106). Must not be awaited while a transaction is open.

    `hash` and `verify` raise HashingBusy if too many passwords wait already.
    """

    def __init__(self, settings: AuthSettings) -> None:
        self._argon2 = Argon2Hasher(
            time_cost=settings.auth_hash_time_cost, memory_cost=settings.auth_hash_memory_kib, parallelism=1
        )
        # One core stays free for requests: a hash uses a core for tens of milliseconds.
        threads = settings.auth_hash_threads or max(1, (os.cpu_count() or 2) - 1)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="passwords")
        # Bounded, because each waiting password holds a request, and a response after minutes is of no use.
        self._slots = BoundedSemaphore(threads + settings.auth_hash_waiting)
        self._dummy_hash: str | None = None

    async def hash(self, password: str) -> str:
        """Return an encoded hash, `$argon2id$...`."""
        return await self._run(lambda: self._argon2.hash(_prepared(password)))

    async def verify(self, password: str, password_hash: str | None) -> Verification:
        """Check a password; against None it takes as long and never matches."""
        return await self._run(lambda: self._verify(_prepared(password), password_hash))

    def _verify(self, password: str, password_hash: str | None) -> Verification:
        if password_hash is None:
            self._argon2.verify(password, self._make_dummy_hash())
            return Verification(matches=False)
        if not self._argon2.verify(password, password_hash):
            return Verification(matches=False)
        outdated = self._argon2.check_needs_rehash(password_hash)
        return Verification(matches=True, new_hash=self._argon2.hash(password) if outdated else None)

    def _make_dummy_hash(self) -> str:
        # Made once and lazily: it costs as much as a sign-in, and not every process needs it.
        if self._dummy_hash is None:
            self._dummy_hash = self._argon2.hash(os.urandom(16).hex())
        return self._dummy_hash

    async def _run(self, work: Callable[[], T]) -> T:
        """Do the work on a thread. The slot of a cancelled request is released when its thread has finished."""
        if not self._slots.acquire(blocking=False):
            raise HashingBusy
        future = self._threads.submit(work)
        # Not when the request is cancelled: the thread can't be interrupted and still uses a core.
        future.add_done_callback(lambda _done: self._slots.release())
        return await asyncio.wrap_future(future)


def _prepared(password: str) -> str:
    """Compose accents, so that a password typed on another system is the same one (RFC 8265, section 4.2)."""
    return composed(password)
