"""A small Prometheus: scrapes running processes and evaluates the alerts of the project, on a clock that runs fast."""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from tools.drill.promql import evaluate
from tools.drill.samples import Samples, at_once, scraped

RULES = Path(__file__).parents[2] / "deploy" / "observability" / "alerts.yml"
SPEED = 60.0
"""Seconds of the rules in one second of the drill: `for: 5m` is over after five seconds."""

_PAUSE = 0.5
_TIMEOUT = 5.0
_UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Rule:
    """An alert. `lasts`: seconds that its expression has to hold."""

    name: str
    expression: str
    lasts: float
    severity: str
    summary: str
    runbook: str


def rules() -> dict[str, Rule]:
    """Return the alerts of the project by name."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: _rule(rule) for group in groups for rule in group["rules"]}


def _rule(rule: dict[str, Any]) -> Rule:
    number, unit = re.fullmatch(r"(\d+)([smh])", rule.get("for", "0s")).groups()  # type: ignore[union-attr]
    return Rule(
        name=rule["alert"],
        expression=rule["expr"],
        lasts=int(number) * _UNITS[unit],
        severity=rule["labels"]["severity"],
        summary=rule["annotations"]["summary"],
        runbook=rule["annotations"]["runbook_url"],
    )


@dataclass
class Prometheus:
    """Scrapes `targets` (addresses of APIs), which may change at any time."""

    targets: list[str]
    samples: Samples = field(default_factory=Samples)
    firing: set[str] = field(default_factory=set)
    _since: dict[str, float] = field(default_factory=dict)

    async def look(self) -> None:
        """Scrape each target once, and evaluate each alert."""
        async with httpx.AsyncClient(timeout=_TIMEOUT) as client:
            answers = await asyncio.gather(*(_answer(client, target) for target in self.targets))
        found = [
            scraped(answer, job="tulou", instance=target)
            for target, answer in zip(self.targets, answers, strict=True)
        ]
        self.samples.add(time.monotonic() * SPEED, at_once(found))
        self.firing = {rule.name for rule in rules().values() if self._fires(rule)}

    async def until(self, holds: Callable[[set[str]], bool], *, seconds: float, what: str) -> None:
        """Go on looking until the set of firing alerts is as wanted."""
        limit = time.monotonic() + seconds
        while True:
            await self.look()
            if holds(self.firing):
                return
            if time.monotonic() > limit:
                raise AssertionError(
                    f"waited {seconds:g} s in vain for {what}; firing: {sorted(self.firing)}"
                )
            await asyncio.sleep(_PAUSE)

    def _fires(self, rule: Rule) -> bool:
        now = self.samples.now
        if evaluate(rule.expression, self.samples) == {}:
            self._since.pop(rule.name, None)
            return False
        return now - self._since.setdefault(rule.name, now) >= rule.lasts


async def _answer(client: httpx.AsyncClient, target: str) -> str | None:
    try:
        answer = await client.get(f"{target}/metrics")
    except httpx.HTTPError:
        return None
    return answer.text if answer.status_code == httpx.codes.OK else None
