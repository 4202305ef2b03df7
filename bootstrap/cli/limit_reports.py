"""Output of `tulou limits`."""

import sys
from collections.abc import Sequence

from rich.table import Column

from domains.auth.schemas.limits import AllowanceRow, AttemptCounter, LimitOverrides
from domains.users.schemas import AdministeredUser
from shared.cli.output import format_time, print_json, print_table


def print_limits(rows: Sequence[AllowanceRow], *, as_json: bool) -> None:
    """Print one line for each person with limits of their own."""
    if as_json:
        print_json([row.model_dump(mode="json") for row in rows])
        return
    headings: list[str | Column] = [Column("id", no_wrap=True), "bytes", "files", "requests a minute"]
    print_table(
        headings, [[row.user_id, *_own(row)] for row in rows], nothing="No person has limits of their own."
    )


def print_limits_of(
    user: AdministeredUser, own: AllowanceRow, counters: Sequence[AttemptCounter], *, as_json: bool
) -> None:
    """Print a person's own limits, and what is counted against them at present."""
    if as_json:
        counted = [counter.model_dump(mode="json") for counter in counters]
        print_json({**own.model_dump(mode="json"), "email": user.email, "counters": counted})
        return
    if not own.is_empty:
        print_table(["bytes", "files", "requests a minute"], [_own(own)])
    else:
        sys.stdout.write(f"{user.email} has no limits of their own; the settings apply.\n")
    rows = [
        [row.kind, row.network or "-", f"{row.count} of {row.most}", format_time(row.until)]
        for row in counters
    ]
    print_table(
        ["counted", "network", "attempts", "until"], rows, nothing=f"Nothing is counted against {user.email}."
    )


def _own(limits: LimitOverrides) -> list[str]:
    values = (limits.max_bytes, limits.max_files, limits.max_requests)
    return ["-" if value is None else str(value) for value in values]
