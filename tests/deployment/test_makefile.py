"""`make help` lists every target, in groups."""

import re
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_help_lists_every_target_in_groups() -> None:
    shown = subprocess.run(["make", "help"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.+)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert sorted(re.findall(r"^  make ([a-z-]+) +\S", shown, re.MULTILINE)) == sorted(phony[1].split())
    assert re.findall(r"^(\w+)$", shown, re.MULTILINE) == ["Run", "Test", "Operate", "Measure", "Release"]
