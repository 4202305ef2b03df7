"""The open transaction of a task.

It is stored in a ContextVar, where repositories find it. Only this module commits.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any
from uuid import UUID

import asyncpg

from shared.db.pool import Connection, ConnectionPool
from shared.db.statement import Execution, ResultT
from shared.db.tracked_rows import TrackedRows
from shared.errors import Outage
from shared.logging import get_logger
from shared.outages import outage_of, raise_outage, unreachable_translated

logger = get_logger(__name__)
ROLLBACK_SECONDS = 5.0
"""Time limit in seconds for a rollback. After it the connection is closed, which also rolls back."""


class TransactionMisusedError(RuntimeError):
    """A programming error: a transaction used by another task, or committed after a part of it failed."""


Insertion = Callable[[Connection], Awaitable[object]]
"""Inserts a row without waiting for the result."""

HandleOutage = Callable[[BaseException], Awaitable[None]]
"""Raises `DatabaseUnavailable` if an error concerns the whole database."""


class OpenTransaction:
    """The transaction that the present task has open, or will have with its first write (`request_transaction`).

    It takes a connection and begins with its first statement. A first insertion is deferred until a second
    statement; if there is none, it runs by itself at the commit: one round trip instead of three.
    """

    __slots__ = (
        "_connection",
        "_durable",
        "_handle_outage",
        "_insertion",
        "_pool",
        "_token",
        "_transaction",
        "_use_reserved",
        "after_commit",
        "after_rollback",
        "begun",
        "depth",
        "failed",
        "is_exclusive",
        "locked_account",
        "request_transaction",
        "rows",
        "task",
    )

    def __init__(
        self,
        pool: ConnectionPool,
        *,
        request_transaction: bool,
        durable: bool,
        use_reserved: bool,
        handle_outage: HandleOutage,
    ) -> None:
        self._pool = pool
        self._handle_outage = handle_outage
        self._durable = durable
        self._use_reserved = use_reserved
        self._connection: Connection | None = None
        self._transaction: Any = None
        self._insertion: Insertion | None = None
        self._token: Token[OpenTransaction | None]
        self.rows = TrackedRows()
        self.task = asyncio.current_task()
        self.request_transaction = request_transaction
        self.begun = not request_transaction
        """Whether reads belong to it too."""

        self.depth = 0
        self.after_commit: list[Callable[[], None]] = []
        self.after_rollback: list[Callable[[], Awaitable[None]]] = []
        self.failed = False
        self.locked_account: UUID | None = None
        self.is_exclusive = False
        """Whether it is the only user of the database, so that the order of its locks does not matter."""

    @property
    def has_connection(self) -> bool:
        """Whether it has taken a connection."""
        return self._connection is not None

    async def __aenter__(self) -> None:
        self._token = current_transaction.set(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._end(error)
        except BaseException as failure:
            await self._undo()
            await self._handle_outage(failure)
            raise
        if error is None:
            self._run_after_commit()
        else:
            await self._undo()
            await self._handle_outage(error)

    async def _end(self, error: BaseException | None) -> None:
        try:
            if error is None:
                with unreachable_translated():
                    await self.commit()
            else:
                raise_outage(error)
        except BaseException as failure:
            error = failure
            raise
        finally:
            # Before the connection is released, so that no callback finds the ended transaction.
            current_transaction.reset(self._token)
            await self.rollback_and_release(error)

    def _run_after_commit(self) -> None:
        for callback in self.after_commit:
            try:
                callback()
            except Exception:
                # The commit has taken effect, so an error here must not look like a failed request.
                logger.exception("after_commit_failed")

    async def _undo(self) -> None:
        for callback in self.after_rollback:
            try:
                # Shielded, because the undo must end although the request was cancelled.
                await asyncio.shield(asyncio.ensure_future(callback()))
            except Exception:
                logger.exception("after_rollback_failed")

    async def connection(self) -> Connection:
        """Return the driver's connection, after a waiting insertion has run on it."""
        connection = self._connection
        if connection is None:
            with unreachable_translated():
                connection = await self._begin()
        if self._insertion is not None:
            insertion, self._insertion = self._insertion, None
            await insertion(connection)
        return connection

    async def run(self, execution: Execution[ResultT], arguments: Any) -> ResultT:
        """Run all of a statement: one that locks rows locks each of them, also if only the first is read."""
        connection = await self.connection()
        if execution.how != "fetchrow":
            return execution.decode(await getattr(connection, execution.how)(execution.sql, *arguments))
        # `fetchrow` reads one row only, and PostgreSQL locks no more rows than are read.
        records = await connection.fetch(execution.sql, *arguments)
        return execution.decode(records[0] if records else None)

    async def insert(self, insertion: Insertion) -> None:
        """Insert a row, at the latest before the next statement."""
        self.begun = True
        is_first = self._connection is None and self._insertion is None
        # A request's transaction has more to write: at least the response of its Idempotency-Key.
        if is_first and self._durable and not self.request_transaction:
            self._insertion = insertion
        else:
            await insertion(await self.connection())

    async def commit(self) -> None:
        """Commit."""
        if self.failed:
            message = "a part of this transaction failed; it can't be committed"
            raise TransactionMisusedError(message)
        self.rows.refuse_changes()
        if self._connection is not None:
            await self._transaction.commit()
        elif self._insertion is not None:
            await self._insert_alone(self._insertion)

    async def _insert_alone(self, insertion: Insertion) -> None:
        self._connection = connection = await self._pool.acquire(use_reserved=self._use_reserved)
        try:
            await insertion(connection)
        except Exception as error:
            if not isinstance(error.__cause__ or error, asyncpg.PostgresError):
                connection.terminate()
            raise
        except BaseException:
            connection.terminate()
            raise

    async def _begin(self) -> Connection:
        self._connection = connection = await self._pool.acquire(use_reserved=self._use_reserved)
        try:
            self._transaction = connection.transaction()
            await self._transaction.start()
            if not self._durable:
                # LOCAL: the next transaction on this connection waits for the disk again.
                await connection.execute("SET LOCAL synchronous_commit TO off")
        except BaseException:
            connection.terminate()
            await self.rollback_and_release()
            raise
        return connection

    async def rollback_and_release(self, error: BaseException | None = None) -> None:
        """Roll back at once and release the connection, so that no lock is held until the end of a request."""
        connection, self._connection, self._insertion = self._connection, None, None
        self.locked_account = None
        self.rows = TrackedRows()
        if connection is None:
            return
        try:
            if error is not None and outage_of(error) is Outage.READ_ONLY:
                connection.terminate()  # it may lead to a standby, which stays read-only
            elif not connection.is_closed() and connection.is_in_transaction():
                await self._roll_back(connection)
        finally:
            self._pool.release(connection)

    async def _roll_back(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(ROLLBACK_SECONDS):
                await self._transaction.rollback()
        except BaseException as error:
            connection.terminate()
            if not isinstance(error, Exception):
                raise
        finally:
            if not connection.is_closed() and connection.is_in_transaction():
                connection.terminate()

    def lock_account_first(self, key: UUID) -> None:
        """Note that an account is about to be locked; see `lock_account_first`."""
        if self.locked_account == key:
            return
        if self.is_exclusive:
            self.locked_account = key
            return
        if self.locked_account is not None or self._connection is not None or self._insertion is not None:
            message = "an account is locked before anything else is read or written in its transaction"
            raise TransactionMisusedError(message)
        self.locked_account = key

    def refuse_other_tasks(self) -> None:
        """A task that was started inside still sees the transaction, but must not use its connection."""
        if self.task is not asyncio.current_task():
            message = "this transaction belongs to another task"
            raise TransactionMisusedError(message)

    @property
    def is_inside(self) -> bool:
        """Whether a service has opened what spans a request."""
        return not self.request_transaction or self.depth > 0


class NestedTransaction:
    """A block in a transaction that is open already."""

    __slots__ = ("_transaction",)

    def __init__(self, transaction: OpenTransaction) -> None:
        self._transaction = transaction

    async def __aenter__(self) -> None:
        self._transaction.refuse_other_tasks()
        self._transaction.begun = True
        self._transaction.depth += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        joined = self._transaction
        joined.depth -= 1
        if error is not None:
            joined.failed = True
        if joined.failed and joined.request_transaction and not joined.depth:
            await joined.rollback_and_release(error)


current_transaction: ContextVar[OpenTransaction | None] = ContextVar("open_transaction", default=None)


def my_transaction() -> OpenTransaction | None:
    """Return the open transaction. One that spans a request isn't there for other tasks of it."""
    current = current_transaction.get()
    if current is not None and current.request_transaction and current.task is not asyncio.current_task():
        return None
    return current


def require_transaction() -> OpenTransaction:
    """Return the transaction that is open. Raises TransactionMisusedError."""
    current = my_transaction()
    if current is None or not current.is_inside:
        message = "no transaction is open; a service opens it with `async with self.transaction():`"
        raise TransactionMisusedError(message)
    current.refuse_other_tasks()
    if current.failed:
        message = "a part of this transaction failed; nothing more can be done in it"
        raise TransactionMisusedError(message)
    return current


def lock_account_first(key: UUID) -> None:
    """Note that the next statement locks an account's row. `key` is its user, or a session of it.

    All locks that transactions take are taken in one order, which begins with the account, so that none ever waits in
    a circle (docs/architecture.md). This keeps the first step of it: repositories call it before they lock an account.

    Raises:
        TransactionMisusedError: the transaction has done something already, or has locked another account.
    """
    require_transaction().lock_account_first(key)


def require_locked_account() -> None:
    """Refuse to lock what belongs to an account, unless the open transaction has locked one with `lock_account_first`.

    Raises:
        TransactionMisusedError: it hasn't.
    """
    if require_transaction().locked_account is None:
        message = "sessions and tokens are locked after their account"
        raise TransactionMisusedError(message)


def after_commit(callback: Callable[[], None]) -> None:
    """Run `callback` once the open transaction has committed; never when it rolls back. It must not block."""
    current = my_transaction()
    if current is None or not current.is_inside:
        message = "no transaction is open to wait for"
        raise TransactionMisusedError(message)
    current.after_commit.append(callback)


def after_rollback(callback: Callable[[], Awaitable[None]]) -> None:
    """Run `callback` if the transaction rolls back or its outcome is unknown. No-op outside a transaction.

    For what was done beside it and has to be undone: it opens a transaction of its own.
    """
    current = my_transaction()
    if current is not None:
        current.after_rollback.append(callback)
