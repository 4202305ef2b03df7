"""Free space on the disks that this process can see."""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from prometheus_client.metrics_core import Metric

from bootstrap.observability.families import gauge
from bootstrap.settings.model import Settings
from domains.files.gateway.store import folder_of

DiskUsage = Mapping[str, tuple[int, int]]
"""Size and free bytes of each disk."""


def folders_of(settings: Settings) -> dict[str, Path]:
    """Return a folder on each disk that is worth watching, by the name that its metrics have."""
    folders = {"data": settings.data_dir}
    store = folder_of(settings.files_store_url, settings.data_dir)
    if store is not None and store != settings.data_dir:
        folders["store"] = store
    if settings.database_volume is not None:
        folders["database"] = settings.database_volume
    return folders


class Disks:
    """Reads the free space on one thread at most: a network file system may hang."""

    fresh_for = 15.0

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders
        self._reading: asyncio.Future[DiskUsage] | None = None

    async def read(self) -> Sequence[Metric]:
        """Read the free space of each folder that exists."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(asyncio.to_thread(_disk_usage, self._folders))
        disk_usage = await asyncio.shield(self._reading)
        return [
            gauge(
                "tulou_disk_size_bytes",
                "Size of a disk.",
                ["disk"],
                [([name], size) for name, (size, _) in disk_usage.items()],
            ),
            gauge(
                "tulou_disk_free_bytes",
                "Bytes that are left on a disk for users other than root.",
                ["disk"],
                [([name], free) for name, (_, free) in disk_usage.items()],
            ),
        ]


def _disk_usage(folders: Mapping[str, Path]) -> DiskUsage:
    usages = {name: shutil.disk_usage(folder) for name, folder in folders.items() if folder.exists()}
    return {name: (usage.total, usage.free) for name, usage in usages.items()}
