"""The object store: a folder, S3, Google or Azure through one library. Objects are streamed, never held whole."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url
from pydantic import SecretStr

from domains.files.errors import StoreFull, StoreUnavailable
from domains.files.settings import FilesSettings
from shared.errors import AppError
from shared.streams import Chunk
from shared.trace import Attribute, span

SMALLEST_PIECE, LARGEST_PIECE = 1 << 17, 1 << 22
"""Bytes that are read at once: few for slow clients, of which there may be many. A download holds two pieces in memory,
the one that is being sent and the next."""

LARGE_PIECES_BUDGET = 32 << 20
"""Bytes that all downloads of a process together may hold beyond two of the smallest pieces each. A client that reads
nothing looks fast until the socket buffers are full, so its pieces grow too; this bounds what such clients get."""
_FAST_SECONDS = 0.05
"""A client that takes a piece within these seconds gets a larger one, which a remote store is asked for ahead."""

# Together the memory of one upload. S3 requires parts of at least 5 MiB; a folder is written as bytes arrive.
_PART, _LOCAL_PART = 5 << 20, 1 << 19
_PARTS_AT_ONCE = 2
_CONNECT = timedelta(seconds=5)
_TRANSFER = timedelta(seconds=60)
"""For one request: a part of an upload, or a piece of a download."""
_RETRIES = 5
_STAGED = range(1, 5)
"""Numbers that the local store appends to names while it writes (`key#1`), the first that is free."""
_NO_SPACE = ("no space left", "storagefull", "os error 28", "os error 122", "quotaexceeded")


def folder_of(url: str | None, default: Path) -> Path | None:
    """Return the folder of the store at a URL, `default` without a URL; None for a remote store."""
    if url is None:
        return default
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


class ObjectFiles:
    """Objects by key: written once, atomically, from a stream; read in ranges; deleted."""

    def __init__(
        self,
        settings: FilesSettings,
        data_folder: Path,
        *,
        make_folder: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use the store of the settings, else the folder `files` inside `data_folder`.

        Without `make_folder` a missing folder is a StoreUnavailable. `clock` is in seconds.
        """
        self._make_folder = make_folder
        self._url = settings.files_store_url
        self._network = _network_options(settings)
        self._folder = data_folder / "files"
        self._opened: ObjectStore | None = None
        self._budget = LARGE_PIECES_BUDGET
        self._clock = clock

    async def put(self, key: str, chunks: AsyncIterator[Chunk]) -> None:
        """Store a stream. An error of `chunks` is raised unchanged, and nothing is kept.

        Raises:
            StoreFull: no space left.
            StoreUnavailable: the store can't be reached.
        """
        stream_errors = _StreamErrors(chunks)
        try:
            with span("store put", "client", about={"tulou.store.key": key}):
                await obstore.put_async(
                    self._store,
                    key,
                    stream_errors.chunks(),
                    chunk_size=_PART if self._is_remote else _LOCAL_PART,
                    max_concurrency=_PARTS_AT_ONCE,
                )
        except (BaseError, OSError, ValueError) as error:
            # The stream's own error, such as a disconnect, is the cause; the store wraps it into one of
            # its own.
            if stream_errors.raised is not None:
                raise stream_errors.raised from error
            raise _store_error(error) from error

    async def read(self, key: str, start: int, end: int) -> AsyncGenerator[Chunk]:
        """Yield the bytes from `start` up to, not including, `end`, in pieces as large as the client is fast."""
        size, prefetched = SMALLEST_PIECE, None
        try:
            while start < end:
                piece = await (prefetched or self._piece(key, start, min(start + size, end)))
                start += len(piece)
                prefetched = None
                if self._is_remote and size > SMALLEST_PIECE and start < end:
                    # A remote store answers slowly, so the next piece is requested while this one
                    # is sent.
                    prefetched = asyncio.create_task(self._piece(key, start, min(start + size, end)))
                yielded_at = self._clock()
                yield piece
                # Frees the memory before the next piece is read.
                del piece
                size = self._next_size(size, is_fast=self._clock() - yielded_at < _FAST_SECONDS)
        finally:
            self._budget += self._extra_bytes(size)
            if prefetched is not None:
                prefetched.cancel()

    def _next_size(self, size: int, *, is_fast: bool) -> int:
        """Return the size of the next piece: larger for a fast client within the budget, smaller for a slow one."""
        self._budget += self._extra_bytes(size)
        next_size = min(2 * size, LARGEST_PIECE) if is_fast else max(size // 4, SMALLEST_PIECE)
        if self._extra_bytes(next_size) > self._budget:
            next_size = SMALLEST_PIECE
        self._budget -= self._extra_bytes(next_size)
        return next_size

    def _extra_bytes(self, size: int) -> int:
        """Return the memory of a download with pieces of this size beyond that of one with the smallest."""
        return (size - SMALLEST_PIECE) * (3 if self._is_remote else 2)

    @property
    def _is_remote(self) -> bool:
        return not isinstance(self._store, LocalStore)

    async def _piece(self, key: str, start: int, end: int) -> memoryview:
        with _errors_translated(), span("store get", "client", about={"tulou.store.key": key}):
            return memoryview(await obstore.get_range_async(self._store, key, start=start, end=end))

    async def fetch(self, key: str, size: int, target: Path) -> None:
        """Copy an object into a local file."""
        with await asyncio.to_thread(target.open, "wb") as file:
            async for piece in self.read(key, 0, size):
                await asyncio.to_thread(file.write, piece)

    async def delete(self, key: str) -> None:
        """Delete an object, and what a killed upload of it may have left. A missing one is no error."""
        about: dict[str, Attribute] = {"tulou.store.key": key}
        with _errors_translated(), suppress(FileNotFoundError), span("store delete", "client", about=about):
            await obstore.delete_async(self._store, key)
        if isinstance(self._opened, LocalStore):
            await asyncio.to_thread(self._delete_staged, key)

    async def size(self, key: str) -> int | None:
        """Return the size of an object in bytes; None if it does not exist."""
        with _errors_translated(), suppress(FileNotFoundError):
            return int((await obstore.head_async(self._store, key))["size"])
        return None

    async def is_empty(self) -> bool:
        """Return whether the store has no object."""
        with _errors_translated():
            async for found in obstore.list(self._store, chunk_size=1):
                return not found
        return True

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys that begin with `prefix` and a slash."""
        with _errors_translated():
            async for found in obstore.list(self._store, prefix=prefix):
                for each in found:
                    yield str(each["path"])

    async def folders(self, prefix: str | None = None) -> list[str]:
        """Return the beginnings of keys up to their first slash: of all keys, or of those inside `prefix`."""
        with _errors_translated():
            found = await obstore.list_with_delimiter_async(self._store, prefix)
        return [str(prefix) for prefix in found["common_prefixes"]]

    async def delete_folder(self, name: str) -> None:
        """Delete every object whose key begins with `name` and a slash."""
        with _errors_translated():
            async for found in obstore.list(self._store, prefix=name):
                await obstore.delete_async(self._store, [each["path"] for each in found])
        if isinstance(self._opened, LocalStore):
            folder = Path(self._opened.prefix or "/") / name
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    @property
    def folder(self) -> Path | None:
        """The folder on this machine's disk; None for a remote store. Does not open the store."""
        return folder_of(self._url, self._folder)

    async def check(self) -> None:
        """Raise StoreUnavailable if the store can't be reached, or its folder is missing."""
        try:
            with suppress(FileNotFoundError):
                # A missing object is the expected answer: it shows that the store works without
                # writing to it.
                await obstore.head_async(self._store, "health")
        except (BaseError, OSError) as error:
            raise StoreUnavailable from error
        if isinstance(self._opened, LocalStore):
            folder = Path(self._opened.prefix or "/")
            # A folder that is not mounted answers "not found" as well, so it is checked too.
            if not await asyncio.to_thread(os.access, folder, os.W_OK | os.X_OK):
                raise StoreUnavailable

    @property
    def _store(self) -> ObjectStore:
        """The store, opened on first use: a child process opens its own after the fork."""
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> ObjectStore:
        if self._url is None:
            return self._open_folder(self._folder.absolute().as_uri())
        if self._url.startswith("file:"):
            return self._open_folder(self._url)
        return cast("ObjectStore", cast("Any", from_url)(self._url, **self._network))

    def _open_folder(self, url: str) -> LocalStore:
        with _errors_translated():
            return LocalStore.from_url(url, mkdir=self._make_folder)

    def _delete_staged(self, key: str) -> None:
        """Remove `<key>#1`: the local store writes there until a file is whole."""
        prefix = cast("LocalStore", self._opened).prefix
        path = Path(prefix or "/") / key
        for number in _STAGED:  # listing the folder would read millions of names
            path.with_name(f"{path.name}#{number}").unlink(missing_ok=True)


class _StreamErrors:
    """Remembers an error of the stream itself, which the store wraps into its own."""

    def __init__(self, chunks: AsyncIterator[Chunk]) -> None:
        self._chunks = chunks
        self.raised: BaseException | None = None

    async def chunks(self) -> AsyncIterator[Chunk]:
        try:
            async for chunk in self._chunks:
                yield chunk
        except GeneratorExit:
            raise  # the store gave up first
        except BaseException as error:
            self.raised = error
            raise


@contextmanager
def _errors_translated() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        raise _store_error(error) from error


def _store_error(error: Exception) -> AppError:
    text = str(error).lower()
    return StoreFull() if any(sign in text for sign in _NO_SPACE) else StoreUnavailable(retry_after=5)


def _network_options(settings: FilesSettings) -> dict[str, Any]:
    """Return the options of a remote store: timeouts, and for S3 those of the settings."""
    given = {
        "endpoint": settings.files_store_endpoint,
        "region": settings.files_store_region,
        "access_key_id": _plain(settings.files_store_key_id),
        "secret_access_key": _plain(settings.files_store_secret),
    }
    config: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if settings.files_store_endpoint is not None:
        config["virtual_hosted_style_request"] = settings.files_store_path_style == "off"
    timeout = timedelta(seconds=settings.files_store_patience)
    return {
        "config": config or None,
        "client_options": {
            "allow_http": (settings.files_store_endpoint or "").startswith("http://"),
            "connect_timeout": min(_CONNECT, timeout),
            "timeout": max(_TRANSFER, timeout),
        },
        "retry_config": {"max_retries": _RETRIES, "retry_timeout": timeout},
    }


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
