"""PostgreSQL: transactions that services open, and reads that run a compiled statement in one round trip."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from shared.db.pool import ConnectionPool
from shared.db.replicas import PRIMARY_IS_AT, Replicas
from shared.db.statement import Execution, ResultT, RowT, Statement
from shared.db.transaction import NestedTransaction, OpenTransaction, my_transaction
from shared.errors import Outage
from shared.outages import is_undefined_object, outage_of, unavailable, unreachable_translated

_NOT_STARTED = "the database was not started"


class TransactionFactory(Protocol):
    """What services are given: `async with self.transaction():`.

    Joins the open transaction, unless `separate=True` asks for another one, for what must survive a failure. A separate
    one may be `durable=False`: its commit does not wait for the disk. Should PostgreSQL crash within the next second it
    may be lost, whole, unless something durable was committed after it.
    """

    def __call__(self, *, separate: bool = False, durable: bool = True) -> AbstractAsyncContextManager[None]:
        """Open or join a transaction."""
        ...


SchemaCheck = Callable[["Database"], Awaitable[Outage | None]]


@dataclass(frozen=True, slots=True)
class PoolUsage:
    """How many connections a pool may open, has idle and in use, and how many tasks wait for one."""

    pool: str
    size: int
    idle: int
    in_use: int
    waiting: int


class Database:
    """One pool of connections to a PostgreSQL, for transactions and for single statements outside of them.

    `pool_size` is the greatest number of connections; when all are in use for `timeout` seconds, the answer is
    `DatabaseUnavailable`. `prepared=False` is for a pooler that gives each transaction another connection: nothing of a
    statement is kept on one. Statements that may be stale are read from a replica that is at most `replica_lag`
    seconds behind, if there is one. `schema_mismatch` is called when a statement names an unknown object; it returns
    how the database's schema differs from the program's, or None.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 16,
        timeout: float = 10.0,
        prepared: bool = True,
        replica_urls: Sequence[str] = (),
        replica_lag: float = 2.0,
        schema_mismatch: SchemaCheck | None = None,
    ) -> None:
        self._url = url
        self._schema_mismatch = schema_mismatch
        self._prepared = prepared
        self._replicas = Replicas(
            replica_urls,
            lag=replica_lag,
            size=pool_size,
            timeout=timeout,
            **self._options("tulou-replica-reads"),
        )
        self._pool_size = pool_size
        self._timeout = timeout
        self._pool: ConnectionPool | None = None

    async def start(self) -> None:
        """Make the pool. Connects lazily, so that a database that is down for now does not stop the program."""
        self._pool = ConnectionPool(
            self._url, size=self._pool_size, timeout=self._timeout, **self._options("tulou")
        )
        self._replicas.start(self._position)

    async def stop(self) -> None:
        """Close every connection."""
        self._replicas.stop()
        if self._pool is not None:
            await self._pool.stop()

    @property
    def pool(self) -> ConnectionPool:
        """The connections to the primary. Raises RuntimeError before `start`."""
        if self._pool is None:
            raise RuntimeError(_NOT_STARTED)
        return self._pool

    def pools(self) -> list[PoolUsage]:
        """Return how busy the connections are."""
        return [] if self._pool is None else [PoolUsage("primary", *self._pool.usage())]

    def replicas(self) -> list[tuple[str, bool]]:
        """Return host and port of each replica, and whether reads use it."""
        return self._replicas.states()

    def transaction(
        self, *, separate: bool = False, durable: bool = True
    ) -> AbstractAsyncContextManager[None]:
        """Open a transaction, or join the open one; commit at the end of the outermost block, and wait for the disk.

        It begins with its first statement, and fails there or at its end.

        Raises:
            DatabaseUnavailable: PostgreSQL can't be reached; nothing was changed.
        """
        current = my_transaction()
        if current is None or separate:
            return self._opened(durable=durable, use_reserved=current is not None)
        return NestedTransaction(current)

    def request_transaction(self) -> AbstractAsyncContextManager[None]:
        """Make all transactions of the present task one: begun by the first write, committed at the end of the block.

        Until then reads need no connection of it. `separate=True` and other tasks stay apart. A part that fails
        rolls the whole back at once.
        """
        return self._opened(request_transaction=True)

    def _opened(
        self, *, request_transaction: bool = False, durable: bool = True, use_reserved: bool = False
    ) -> OpenTransaction:
        return OpenTransaction(
            self.pool,
            request_transaction=request_transaction,
            durable=durable,
            use_reserved=use_reserved,
            handle_outage=self._handle_outage,
        )

    async def run(self, execution: Execution[ResultT], arguments: Sequence[Any]) -> ResultT:
        """Run a statement through the open transaction; without one, in one round trip with a commit of its own."""
        current = my_transaction()
        if current is not None:
            current.refuse_other_tasks()
            current.begun = current.begun or execution.changes
            if current.begun:
                return await current.run(execution, arguments)
        return execution.decode(await self._read(execution, arguments))

    async def fetch_all(self, statement: Statement[RowT], /, **parameters: Any) -> list[RowT]:
        """Return every row."""
        return await self.run(statement.all, statement.arguments(parameters))

    async def fetch_one(self, statement: Statement[RowT], /, **parameters: Any) -> RowT | None:
        """Return the first row or None."""
        return await self.run(statement.first, statement.arguments(parameters))

    async def execute(self, statement: Statement[Any], /, **parameters: Any) -> int:
        """Run a statement and return how many rows it changed."""
        return await self.run(statement.count, statement.arguments(parameters))

    async def _read(self, execution: Execution[Any], arguments: Sequence[Any]) -> Any:
        pool = self.pool
        if execution.may_be_stale:
            was_read, answer = await self._replicas.run(execution.how, execution.sql, arguments)
            if was_read:
                return answer
        try:
            with unreachable_translated():
                return await pool.run(execution.how, execution.sql, arguments)
        except Exception as error:
            await self._handle_outage(error)
            raise

    def renew(self) -> None:
        """Replace every connection, because one of them leads to a server that is read-only."""
        if self._pool is not None:
            self._pool.renew()

    async def _handle_outage(self, error: BaseException) -> None:
        """Renew the pool if the server is read-only; check the schema if an object is missing.

        Raises:
            DatabaseUnavailable: the database was not migrated.
        """
        if outage_of(error) is Outage.READ_ONLY:
            self.renew()
        if self._schema_mismatch is not None and is_undefined_object(error):
            outage = await self._schema_mismatch(self)
            if outage is not None:
                raise unavailable(outage, error) from error

    async def ask(self, sql: str, *arguments: Any) -> Any:
        """Query the server itself, outside any open transaction, and return the first record.

        Raises:
            DatabaseUnavailable: it can't be asked.
        """
        with unreachable_translated():
            return await self.pool.run("fetchrow", sql, arguments)

    async def _position(self) -> int:
        position: int = await self.pool.run("fetchval", PRIMARY_IS_AT, ())
        return position

    def _options(self, name: str) -> dict[str, Any]:
        """Return what every connection is opened with."""
        kept = {} if self._prepared else {"statement_cache_size": 0}
        return {"server_settings": {"application_name": name}, **kept}
