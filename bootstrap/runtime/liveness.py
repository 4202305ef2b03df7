"""`tulou-alive`: checks in a few milliseconds whether the process in this container is alive.

Workers and relays touch the file TULOU_PULSE_FILE every ten seconds; the API answers `/health/live`.
"""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

LONGEST_PAUSE = 60.0
"""Seconds. A worker whose database is down takes up to 20 s for one heartbeat."""

_PATIENCE = 3
_SERVER_ERROR = 500
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # an address to connect to, not to listen on


def touch(file: Path | None) -> None:
    """Touch the liveness file. An error, such as a full disk, is only logged."""
    if file is None:
        return
    try:
        file.touch()
    except OSError as error:
        sys.stderr.write(f"No sign of life can be left in {file}: {error.strerror}\n")


def main() -> None:
    """Exit with 0 if this container's process is alive, else with 1 and a sentence."""
    complaint = liveness_problem(os.environ)
    if complaint:
        sys.stderr.write(f"{complaint}\n")
        sys.exit(1)


def liveness_problem(environment: Mapping[str, str]) -> str | None:
    """Return what is wrong with the process that has this environment, or None."""
    file = environment.get("TULOU_PULSE_FILE")
    if file and Path(file).exists():
        age = time.time() - Path(file).stat().st_mtime
        return f"No sign of life for {age:.0f} s." if age > LONGEST_PAUSE else None
    return _api_problem(environment)


def _api_problem(environment: Mapping[str, str]) -> str | None:
    from http.client import HTTPConnection, HTTPException  # noqa: PLC0415  # workers don't need it

    host = environment.get("TULOU_HOST") or "127.0.0.1"
    port = int(environment.get("TULOU_PORT") or 8000)
    connection = HTTPConnection(_EVERYWHERE.get(host, host), port, timeout=_PATIENCE)
    try:
        connection.request("GET", "/health/live")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"Nothing answers on port {port}, and there is no liveness file: {error}"
    finally:
        connection.close()
    return f"The API answers {status}." if status >= _SERVER_ERROR else None


if __name__ == "__main__":
    main()
