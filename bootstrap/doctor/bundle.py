"""`tulou doctor --bundle FILE`: an archive for support without secrets and personal data."""

import asyncio
import io
import json
import os
import tarfile
import tempfile
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bootstrap.container import TulouContainer
from bootstrap.diagnosis.places import name_of
from bootstrap.doctor.parts import PARTS, of_machine, of_packages, of_settings
from bootstrap.doctor.runner import Finding
from bootstrap.doctor.scrubbing import Scrubber

ABOUT = """\
A description of a Tulou installation for support, written by `tulou doctor --bundle`.

versions.json    Tulou, Python packages
machine.json     system, limits of the process and of its container
settings.json    every setting; secrets, and what names a person, are hidden
doctor.json      what `tulou doctor` found
migrations.json, mode.json, jobs.json, failures.json, workers.json, measures.json, tables.json, postgres.json,
redis.json       numbers and states; a part that could not be asked for says why

No row of a table and no line of a log is in it: no addresses, names, file names, tokens or contents. The hosts and
ports of servers are in doctor.json.
"""


class BundleRefused(Exception):
    """The file can't be written; the text says why and what to do."""


async def collect(
    container: TulouContainer, findings: Sequence[Finding], environment: Mapping[str, str]
) -> dict[str, bytes]:
    """Return the files of a bundle by name. A part that fails or times out has the reason in its place."""
    settings = container.settings()
    scrubber = Scrubber(settings, environment)
    asked = {name: _asked(ask(container), settings.doctor_patience) for name, ask in PARTS.items()}
    answers = dict(zip(asked, await asyncio.gather(*asked.values()), strict=True))
    return _files(scrubber, findings, {"settings": of_settings(settings, scrubber), **answers})


def without_container(findings: Sequence[Finding], environment: Mapping[str, str]) -> dict[str, bytes]:
    """Return the files of a bundle when the settings are invalid."""
    return _files(Scrubber(None, environment), findings, {})


def write(path: Path, files: Mapping[str, bytes], *, force: bool) -> None:
    """Write an archive that only its owner may read.

    Raises:
        BundleRefused: the file exists and may not be replaced, or it can't be written.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"tulou-support/{name}")
            member.size, member.mode, member.mtime = len(content), 0o600, int(time.time())
            tar.addfile(member, io.BytesIO(content))
    try:
        (_replace if force else _create)(path, archive.getvalue())
    except FileExistsError as error:
        raise BundleRefused(f"There is a file {path} already. Name another one, or use --force.") from error
    except OSError as error:
        raise BundleRefused(
            f"{path} can't be written ({name_of(error)}). Name a file in another folder."
        ) from error


def _files(scrubber: Scrubber, findings: Sequence[Finding], parts: Mapping[str, Any]) -> dict[str, bytes]:
    found = {
        "versions": {"tulou": version("tulou"), "packages": of_packages()},
        "machine": of_machine(),
        "doctor": [asdict(finding) for finding in findings],
        **parts,
    }
    texts = {name: json.dumps(scrubber.value(part), indent=2) + "\n" for name, part in found.items()}
    return {"README.txt": ABOUT.encode(), **{f"{name}.json": text.encode() for name, text in texts.items()}}


async def _asked(answer: Awaitable[Any], patience: float) -> Any:
    try:
        async with asyncio.timeout(patience):
            return await answer
    except TimeoutError:
        return {"unknown": f"no answer within {patience:g} s"}
    except Exception as error:  # noqa: BLE001  # one failed part must not lose the others; doctor.json has the reason
        return {"unknown": type(error).__name__}


def _create(path: Path, content: bytes) -> None:
    _fill(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), path, content)


def _replace(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".bundle-")  # only its owner may read it
    _fill(descriptor, Path(temporary), content)
    try:
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink()
        raise


def _fill(descriptor: int, path: Path, content: bytes) -> None:
    """Write a new file; delete it if it can't be written completely."""
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError:
        path.unlink()
        raise
