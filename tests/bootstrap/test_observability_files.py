"""The dashboard and the alerts speak of metrics that exist, with labels that they have."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

FOLDER = Path(__file__).parents[2] / "deploy" / "observability"
DOCS = Path(__file__).parents[2] / "docs" / "observability.md"
_METRIC = re.compile(r"\b(?:tulou|process|python)_[a-z_]+\b")
_WITH_LABELS = re.compile(r"\b((?:tulou|process)_[a-z_]+)\{([^}]*)\}")
_GIVEN_BY_PROMETHEUS = {"job", "instance"}
_SUFFIXES = ("_bucket", "_count", "_sum", "_total")


def dashboard_expressions() -> list[str]:
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture
async def labels(client, user, work_off) -> dict[str, set[str]]:
    """Each metric that is shown, and the labels that it has."""
    await work_off()
    text = (await client.get("/metrics")).text
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    declared = re.findall(r"^# TYPE (\S+) (\S+)", text, re.MULTILINE)
    for name, kind in declared:
        for shown in [f"{name}{suffix}" for suffix in _SUFFIXES[:3]] if kind == "histogram" else [name]:
            found.setdefault(shown, {"kind", "state", "le"} if "_job_" in name else {"kind", "state"})
    return found


def unknown(expressions: list[str], labels: dict[str, set[str]]) -> list[str]:
    wrong = []
    for expression in expressions:
        wrong += [name for name in _METRIC.findall(expression) if name not in labels]
        for name, matchers in _WITH_LABELS.findall(expression):
            named = set(re.findall(r"(\w+)\s*[=!]", matchers)) - _GIVEN_BY_PROMETHEUS
            wrong += [f"{name}{{{label}}}" for label in named - labels.get(name, set())]
        for grouped in re.findall(r"by \(([^)]*)\)", expression):
            named = {label.strip() for label in grouped.split(",")} - _GIVEN_BY_PROMETHEUS
            known = {label for name in _METRIC.findall(expression) for label in labels.get(name, set())}
            wrong += [f"by ({label}) in {expression}" for label in named - known]
    return wrong


async def test_the_dashboard_speaks_of_what_there_is(labels) -> None:
    assert len(dashboard_expressions()) > 20
    assert unknown(dashboard_expressions(), labels) == []


async def test_the_alerts_speak_of_what_there_is(labels) -> None:
    assert unknown([rule["expr"] for rule in alerts()], labels) == []


async def test_a_metric_that_is_gone_would_be_noticed(labels) -> None:
    wrong = ["sum(tulou_gone)", 'tulou_jobs{colour="red"}', "max by (colour) (tulou_jobs)"]
    assert len(unknown(wrong, labels)) == 3


async def test_the_page_tells_of_each_metric_and_each_alert(labels) -> None:
    page = DOCS.read_text()
    ours = {
        re.sub(rf"({'|'.join(_SUFFIXES[:3])})$", "", name) for name in labels if name.startswith("tulou_")
    }
    assert sorted(name for name in ours if f"`{name}" not in page) == []
    assert [rule["alert"] for rule in alerts() if rule["alert"] not in page] == []
    assert sorted(
        name for name in set(_METRIC.findall(page)) - labels.keys() if name.startswith("tulou_")
    ) == [
        "tulou_http_request_duration_seconds",
        "tulou_job_duration_seconds",
    ]


def test_each_alert_says_what_is_wrong_and_how_bad() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"].endswith(".")
