"""How every floor is served: one process, uvicorn with uvloop and httptools, no access log."""

import os
from typing import Any

import uvicorn

from tools.bench.processes import run_on, server_core


def serve(app: Any) -> None:
    """Serve on TULOU_PORT until SIGTERM."""
    if os.environ.get("BENCH_CORES") != "all":
        run_on(server_core())
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(os.environ["TULOU_PORT"]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
