"""Print the rules of deploy/observability/alerts.yml as a PrometheusRule, for the Prometheus operator.

    .venv/bin/python scripts/prometheus_rule.py > deploy/kubernetes/components/monitoring/prometheus-rule.yaml

`make format` does it.
"""

import sys
from pathlib import Path

import yaml

ALERTS = Path(__file__).resolve().parents[1] / "deploy" / "observability" / "alerts.yml"
HEAD = (
    "# Written by `make format` from deploy/observability/alerts.yml; a test fails when it is out of date.\n"
)


def prometheus_rule() -> str:
    """Return the manifest."""
    manifest = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "tulou", "labels": {"app.kubernetes.io/name": "tulou"}},
        "spec": yaml.safe_load(ALERTS.read_text()),
    }
    return HEAD + yaml.safe_dump(manifest, sort_keys=False, width=200, allow_unicode=True)


if __name__ == "__main__":
    sys.stdout.write(prometheus_rule())
