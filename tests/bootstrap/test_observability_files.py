"""Dashboard, alerts and runbooks name metrics and labels that exist, and refer to each other."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tools.drill.prometheus import rules
from tools.drill.promql import evaluate
from tools.drill.samples import Samples, scraped

PROJECT = Path(__file__).parents[2]
DASHBOARD = PROJECT / "deploy" / "observability" / "dashboard.json"
DOCS = PROJECT / "docs" / "observability.md"
RUNBOOKS = PROJECT / "docs" / "runbooks"
SECTIONS = ["Impact", "Mitigation", "Find the cause", "How to know that it is over"]
_METRIC = re.compile(r"\b(?:tulou|process|python)_[a-z_]+\b")
_WITH_LABELS = re.compile(r"\b((?:tulou|process)_[a-z_]+)\{([^}]*)\}")
_GIVEN_BY_PROMETHEUS = {"job", "instance"}
_SUFFIXES = ("_bucket", "_count", "_sum", "_total")


def dashboard_expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


@pytest.fixture
async def exposed(client, user, work_off) -> str:
    """What /metrics shows."""
    await work_off()
    return (await client.get("/metrics")).text


@pytest.fixture
def labels(exposed: str) -> dict[str, set[str]]:
    """Each metric that is shown, and the labels that it has."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposed):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    declared = re.findall(r"^# TYPE (\S+) (\S+)", exposed, re.MULTILINE)
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
    assert unknown([rule.expression for rule in rules().values()], labels) == []


async def test_a_metric_that_is_gone_would_be_noticed(labels) -> None:
    wrong = ["sum(tulou_gone)", 'tulou_jobs{colour="red"}', "max by (colour) (tulou_jobs)"]
    assert len(unknown(wrong, labels)) == 3


async def test_each_alert_can_be_evaluated(exposed: str) -> None:
    samples = Samples()
    for at in (0.0, 30.0):
        samples.add(at, scraped(exposed, job="tulou", instance="one"))
    for rule in rules().values():
        assert isinstance(evaluate(rule.expression, samples), dict), rule.name


async def test_the_page_tells_of_each_metric(labels) -> None:
    page = DOCS.read_text()
    ours = {
        re.sub(rf"({'|'.join(_SUFFIXES[:3])})$", "", name) for name in labels if name.startswith("tulou_")
    }
    assert sorted(name for name in ours if f"`{name}" not in page) == []
    assert sorted(
        name for name in set(_METRIC.findall(page)) - labels.keys() if name.startswith("tulou_")
    ) == [
        "tulou_http_request_duration_seconds",
        "tulou_job_duration_seconds",
    ]


async def test_the_runbooks_speak_of_metrics_that_there_are(labels) -> None:
    for path in RUNBOOKS.glob("*.md"):
        named = {name for name in _METRIC.findall(path.read_text()) if name.startswith("tulou_")}
        assert named - labels.keys() == set(), path.name


def test_each_alert_says_what_is_wrong_how_bad_it_is_and_where_its_page_is() -> None:
    for rule in rules().values():
        assert rule.severity in {"page", "ticket"}
        assert rule.summary.endswith(".")
        assert rule.runbook == f"https://example.com/tulou/docs/runbooks/{rule.name}.md"


def test_each_alert_has_its_page_and_each_page_its_alert() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == set(rules())
    index = re.findall(
        r"^\| \[(\w+)\]\(\1\.md\) \| (\w+) \|$", (RUNBOOKS / "README.md").read_text(), re.MULTILINE
    )
    assert index == [(rule.name, rule.severity) for rule in rules().values()]


@pytest.mark.parametrize("name", list(rules()))
def test_a_page_says_what_users_feel_what_to_do_where_to_look_and_when_it_is_over(name: str) -> None:
    page = (RUNBOOKS / f"{name}.md").read_text()
    assert re.findall(r"^# (.*)$", page, re.MULTILINE) == [name]
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == SECTIONS
    _, *sections = re.split(r"^## .*\n", page, flags=re.MULTILINE)
    assert all(section.strip() for section in sections)
