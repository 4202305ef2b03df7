"""The evaluator gives the same results as Prometheus for the expressions of the alerts."""

import pytest

from tools.drill.promql import PromqlError, evaluate
from tools.drill.samples import Samples, at_once, scraped

FIRST = """
# TYPE jobs gauge
jobs{queue="mail"} 3
jobs{queue="files"} 0
# TYPE asked counter
asked_total{route="/a"} 100
asked_total{route="/b"} 10
# TYPE took histogram
took_bucket{le="1"} 10
took_bucket{le="2"} 10
took_bucket{le="+Inf"} 10
took_count 10
took_sum 5
"""
SECOND = """
# TYPE jobs gauge
jobs{queue="mail"} 5
jobs{queue="files"} 0
# TYPE asked counter
asked_total{route="/a"} 160
asked_total{route="/b"} 4
# TYPE took histogram
took_bucket{le="1"} 10
took_bucket{le="2"} 110
took_bucket{le="+Inf"} 110
took_count 110
took_sum 155
"""


@pytest.fixture
def samples() -> Samples:
    """Two scrapes of one target, a minute apart; a second target is down."""
    made = Samples()
    for at, text in ((1000.0, FIRST), (1060.0, SECOND)):
        one, two = scraped(text, job="tulou", instance="one"), scraped(None, job="tulou", instance="two")
        made.add(at, at_once([one, two]))
    return made


def plain(value: object) -> object:
    """Return a vector with readable labels, without those of the target."""
    if not isinstance(value, dict):
        return value
    shown = {}
    for labels, number in value.items():
        named = dict(labels)
        shown[" ".join(f"{name}={named[name]}" for name in sorted(named) if name != "job")] = number
    return shown


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('up{job="tulou"} == 0', {"instance=two": 0}),
        ("max(up) == 0", {}),
        ('absent(up{job="tulou"})', {}),
        ('absent(up{job="other"})', {"": 1}),
        ("max by (queue) (jobs)", {"queue=mail": 5, "queue=files": 0}),
        ("max by (queue) (jobs) > 2", {"queue=mail": 5}),
        ("sum(jobs)", {"": 5}),
        ("count(jobs)", {"": 2}),
        ('min(jobs{queue!="files"})', {"": 5}),
        ('max(jobs{queue=~"fi.*|x"})', {"": 0}),
        ('max(jobs{queue!~"fi.*"})', {"": 5}),
        ("sum by (route) (rate(asked_total[5m]))", {"route=/a": 1, "route=/b": 4 / 60}),
        ("sum(increase(asked_total[5m]))", {"": 64}),
        ("sum(increase(asked_total[30s]))", {}),
        ('sum(rate(asked_total{route="/a"}[5m])) / sum(rate(asked_total[5m])) > 0.9', {"": 60 / 64}),
        ("max by (queue) (jobs) > 0.5 * max by (queue) (jobs)", {"queue=mail": 5}),
        ("max by (queue) (jobs) > 0 and on () sum(jobs) == 5", {"queue=mail": 5}),
        ("max by (queue) (jobs) > 0 unless on () sum(jobs) == 5", {}),
        ("max(gone) > 1 or absent(gone)", {"": 1}),
        ("histogram_quantile(0.5, sum by (le) (rate(took_bucket[5m])))", {"": 1.5}),
        ("2 + 3 * 4 - 6 / 2", 11),
        ("(2 + 3) * 1e3", 5000),
        ("time()", 1060),
        ("sum(jobs) - time() < 0", {"": -1055}),
    ],
)
def test_an_expression_has_the_value_that_it_has_in_prometheus(expression, expected, samples) -> None:
    found = plain(evaluate(expression, samples))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("expression", ["max(", "jobs{queue=", "topk(3, jobs)", "jobs jobs", "jobs ? 1"])
def test_what_cannot_be_read_is_an_error(expression, samples) -> None:
    with pytest.raises(PromqlError):
        evaluate(expression, samples)
