"""Bytes without anything around them: a body streamed to disk without a hash, and Starlette's `FileResponse`."""

import asyncio
import os
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import FastAPI, Request
from starlette.responses import FileResponse

from tools.bench.floors.serving import serve

_PIECE = 1 << 20
_FOLDER = Path(os.environ.get("BENCH_FOLDER", "."))

app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})


@app.post("/upload", status_code=201)
async def upload(request: Request) -> dict[str, int]:
    """Write the body to disk, in a thread, in pieces of 1 MiB."""
    path = _FOLDER / f"floor-{id(request)}"
    size, waiting = 0, bytearray()
    with await asyncio.to_thread(path.open, "wb") as file:
        async for chunk in request.stream():
            waiting += chunk
            if len(waiting) >= _PIECE:
                size += await _write(file, waiting)
                waiting = bytearray()
        size += await _write(file, waiting)
    path.unlink()
    return {"size": size}


@app.get("/download")
async def download() -> FileResponse:
    """Send a file as Starlette does."""
    return FileResponse(_FOLDER / "to-download")


@app.get("/")
async def root() -> dict[str, str]:
    """Answer at once: what other callers wait for meanwhile."""
    return {}


async def _write(file: BinaryIO, data: Any) -> int:
    return await asyncio.to_thread(file.write, data)


if __name__ == "__main__":
    serve(app)
