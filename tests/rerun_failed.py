"""Rerun the tests that have just failed, alone: `python -m tests.rerun_failed STATUS --most NUMBER`."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

FAILED = Path(".pytest_cache/v/cache/lastfailed")
_SOME_FAILED = 1
"""pytest's status when it ran all tests and some failed."""


def main() -> int:
    """Return the status of the second run, or that of the first one when that ended otherwise or too many failed."""
    arguments = argparse.ArgumentParser(prog="tests.rerun_failed", description=__doc__)
    arguments.add_argument("status", type=int, help="of the first run")
    arguments.add_argument("--most", type=int, required=True, help="failed tests that are run again")
    given = arguments.parse_args()
    failed = sorted(json.loads(FAILED.read_text())) if FAILED.is_file() else []
    is_whole = all("::" in name for name in failed)  # not a file that could not be imported
    if given.status != _SOME_FAILED or not is_whole or not 0 < len(failed) <= given.most:
        return int(given.status)
    sys.stdout.write("\nfailed beside other tests, run again alone:\n  " + "\n  ".join(failed) + "\n")
    sys.stdout.flush()
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "not long", "-v", *failed], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
