"""Checks of the file store and of the data folder."""

import errno
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from obstore.exceptions import NotFoundError, PermissionDeniedError, UnauthenticatedError

from bootstrap.container import TulouContainer
from bootstrap.diagnosis.errors import CheckFailed
from bootstrap.diagnosis.places import Place, causes, name_of, place_of, unreachable
from bootstrap.settings.model import Settings
from domains.files.errors import StoreFull
from domains.files.gateway.store import folder_of
from shared.errors import AppError
from shared.ids import new_id

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def store_name(settings: Settings) -> str:
    """Return the address of the store without credentials."""
    url = settings.files_store_url
    if url is None:
        return f"The store {settings.data_dir / 'files'}"
    parts = urlsplit(url)
    if parts.scheme == "file":
        return f"The store {unquote(parts.path)}"
    at = f" at {settings.files_store_endpoint}" if settings.files_store_endpoint else ""
    return f"The store {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{at}"


def store_place(settings: Settings) -> Place | None:
    """Return host and port of a store in the network, if the settings have them."""
    if settings.files_store_url is None or settings.files_store_endpoint is None:
        return None
    return place_of("The file store", "TULOU_FILES_STORE_ENDPOINT", settings.files_store_endpoint)


async def file_store(container: TulouContainer) -> str:
    """Write, read and delete an object."""
    store, key, content = container.files.store(), f"doctor/{new_id()}", b"Is there a doctor in the house?"
    settings = container.settings()

    async def pieces() -> AsyncIterator[bytes]:
        yield content

    try:
        await store.put(key, pieces())
        try:
            read = b"".join([piece async for piece in store.read(key, 0, len(content))])
        finally:
            await store.delete(key)
    except AppError as error:
        raise await _refused(settings, error) from error
    if read != content:
        raise CheckFailed(
            f"{store_name(settings)} returned other bytes than were written.",
            "Check the disk or the bucket for faults, and restore files from a backup.",
        )
    return f"{store_name(settings)}: writes, reads, deletes"


async def _refused(settings: Settings, error: AppError) -> CheckFailed:
    name, found = store_name(settings), list(causes(error))
    if isinstance(error, StoreFull):
        return CheckFailed(
            f"{name} has no space left.", "Make room there, or set TULOU_FILES_STORE_URL to another."
        )
    if folder := folder_of(settings.files_store_url, settings.data_dir / "files"):
        return cannot_write(folder, "TULOU_FILES_STORE_URL") or CheckFailed(
            f"{name} can't be written to.", f"Give it to user {os.getuid()}: chown -R {os.getuid()} {folder}."
        )
    if any(isinstance(each, NotFoundError | FileNotFoundError) for each in found):
        bucket = urlsplit(settings.files_store_url or "").netloc
        return CheckFailed(
            f"{name}: there is no bucket {bucket}.",
            "Make the bucket, or correct its name in TULOU_FILES_STORE_URL.",
        )
    if any(isinstance(each, UnauthenticatedError | PermissionDeniedError) for each in found):
        return CheckFailed(
            f"{name} refuses the access key, or lets it not read, write and delete.",
            "Correct TULOU_FILES_STORE_KEY_ID and TULOU_FILES_STORE_SECRET, or give the key these rights.",
        )
    place = store_place(settings)
    failure = await unreachable(place) if place else None
    return failure or CheckFailed(
        f"{name} sent no valid response within {settings.files_store_patience:g} s (TULOU_FILES_STORE_PATIENCE).",
        "Check TULOU_FILES_STORE_ENDPOINT, TULOU_FILES_STORE_REGION and the log of the store.",
    )


async def data_folder(container: TulouContainer) -> str:
    """Check that the data folder exists, is writable and has free space."""
    settings = container.settings()
    folder = settings.data_dir
    if failure := cannot_write(folder, "TULOU_DATA_DIR"):
        raise failure
    free = shutil.disk_usage(folder).free
    if free < settings.doctor_free_bytes:
        raise CheckFailed(
            f"{folder} has {free >> 20} MiB left, fewer than {settings.doctor_free_bytes >> 20}"
            " (TULOU_DOCTOR_FREE_BYTES).",
            "Make room on that disk, or set TULOU_DATA_DIR to a larger one.",
        )
    return f"{folder}: {free >> 20} MiB free"


def cannot_write(folder: Path, setting: str) -> CheckFailed | None:
    """Write a small file and delete it; return why that fails."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return _unwritable(folder, setting, error)
    return None


def _unwritable(folder: Path, setting: str, error: OSError) -> CheckFailed:
    name = name_of(error)
    if error.errno == errno.ENOENT:
        return CheckFailed(
            f"The folder {folder} does not exist ({name}).", f"Run `mkdir -p {folder}`, or set {setting}."
        )
    if error.errno == errno.ENOTDIR:
        return CheckFailed(f"{folder} is not a folder ({name}).", f"Set {setting} to a folder.")
    if error.errno in _NO_ROOM:
        return CheckFailed(
            f"The disk of {folder} is full ({name}).",
            f"Make room on it, or set {setting} to a folder on a larger disk.",
        )
    if error.errno == errno.EROFS:
        return CheckFailed(
            f"The disk of {folder} is mounted read-only ({name}).",
            f"Mount it for writing (`mount -o remount,rw`; after errors run fsck first), or set {setting}.",
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return CheckFailed(
            f"User {os.getuid()} may not write to {folder} ({name}).",
            f"Run `chown -R {os.getuid()} {folder}`.",
        )
    return CheckFailed(
        f"Writing to {folder} fails ({name}).", f"Check its disk for faults, or set {setting} to another."
    )
