"""`make bench`: requests, logins, transfers, pictures, mails and the start, beside floors in the same run."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from tools.bench.figures import Figures, text_of, write
from tools.bench.login import measure_login
from tools.bench.mails import measure_mail
from tools.bench.pictures import measure_pictures
from tools.bench.requests import measure_create, measure_list, measure_me
from tools.bench.startup import measure_start
from tools.bench.transfers import measure_transfers
from tools.bench.workplace import Workplace, workplace

PARTS: dict[str, Callable[[Workplace, Figures], Awaitable[None]]] = {
    "me": measure_me,
    "list": measure_list,
    "create": measure_create,
    "login": measure_login,
    "transfer": measure_transfers,
    "pictures": measure_pictures,
    "mail": measure_mail,
    "start": measure_start,
}
LIMITS = {
    "TULOU_RATE_LIMIT": "10000000",
    "TULOU_AUTH_NETWORK_LIMIT": "1000000",
    "TULOU_FILES_QUOTA_BYTES": str(1 << 40),
    "TULOU_FILES_MAX_COUNT": "1000000",
    "TULOU_LOG_LEVEL": "info",
}
"""Everything is on, with room for one address that asks ten thousand times a second."""


async def measure(parts: list[str]) -> Figures:
    """Measure these parts."""
    figures = Figures()
    async with workplace(LIMITS) as place:
        for part in parts:
            sys.stderr.write(f"measuring {part} ...\n")
            await PARTS[part](place, figures)
    return figures


def main() -> None:
    """Measure, print, and write the page when everything was measured."""
    arguments = argparse.ArgumentParser(prog="bench", description=__doc__)
    arguments.add_argument("--only", default="", help=f"some of {', '.join(PARTS)}, comma-separated")
    arguments.add_argument(
        "--page", type=Path, help="write the page here, and figures.json beside this program"
    )
    given = arguments.parse_args()
    parts = [part for part in given.only.split(",") if part] or [*PARTS]
    unknown = set(parts) - PARTS.keys()
    if unknown:
        arguments.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    figures = asyncio.run(measure(parts))
    sys.stdout.write(text_of(figures))
    if given.page is not None:
        write(figures, page=given.page, data=Path(__file__).parent / "figures.json")


if __name__ == "__main__":
    main()
