"""Output of commands: tables for people, JSON for scripts."""

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

WIDTH_OF_PIPES = 200
"""Width of a table that is not printed to a terminal, so that nothing is cut off."""


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    sys.stdout.write(TypeAdapter(Any).dump_json(value, indent=2).decode() + "\n")


def print_table(
    headings: Sequence[str | Column], rows: Sequence[Sequence[Any]], *, nothing: str = ""
) -> None:
    """Print a table, or the sentence `nothing` if it has no rows."""
    if not rows:
        sys.stdout.write(f"{nothing}\n")
        return
    table = Table(*headings)
    for row in rows:
        # As text: a square bracket in a value is no markup.
        table.add_row(*(Text(str(value)) for value in row))
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    Console(width=WIDTH_OF_PIPES if piped else None).print(table)


def format_time(time: datetime | None) -> str:
    """Format a time in UTC to the second; `-` for None."""
    return "-" if time is None else f"{time:%Y-%m-%d %H:%M:%S}Z"
