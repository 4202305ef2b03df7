"""Records every statement that this process sends to PostgreSQL, on any connection, and ends of transactions."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asyncpg.connection import Connection


class _Recorded:
    """asyncpg's protocol object, which every statement passes; prepared ones are told when they are executed."""

    def __init__(self, protocol: Any, sent: list[str]) -> None:
        self._protocol = protocol
        self._sent = sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol, name)

    def query(self, sql: str, *arguments: Any, **options: Any) -> Any:
        self._sent.append(_told(sql))
        return self._protocol.query(sql, *arguments, **options)

    def bind_execute(self, state: Any, *arguments: Any, **options: Any) -> Any:
        self._sent.append(_told(state.query))
        return self._protocol.bind_execute(state, *arguments, **options)

    def bind_execute_many(self, state: Any, *arguments: Any, **options: Any) -> Any:
        self._sent.append(_told(state.query))
        return self._protocol.bind_execute_many(state, *arguments, **options)


@contextmanager
def recorded_statements(pools: Any) -> Iterator[list[str]]:
    """Record what is sent until the end of the block, on connections that are open and that are opened meanwhile.

    `pools`: the composed `Database`.
    """
    sent: list[str] = []
    drivers = list(_open_drivers(pools))
    originals = [(driver, driver._protocol) for driver in drivers]
    for driver, protocol in originals:
        driver._protocol = _Recorded(protocol, sent)
    made = Connection.__init__

    def make(self: Connection, protocol: Any, *arguments: Any, **options: Any) -> None:
        made(self, protocol, *arguments, **options)
        originals.append((self, protocol))
        self._protocol = _Recorded(protocol, sent)

    Connection.__init__ = make  # type: ignore[method-assign]  # for as long as the block lasts
    try:
        yield sent
    finally:
        Connection.__init__ = made  # type: ignore[method-assign]  # as it was
        for driver, protocol in originals:
            driver._protocol = protocol


def _open_drivers(database: Any) -> Iterator[Any]:
    pool = database.pool
    yield from [*pool._in_use, *(connection for _, connection in pool._idle)]


def _told(sql: str) -> str:
    return " ".join(sql.split())
