"""deploy/kubernetes/ is valid by the schemas of Kubernetes and agrees with the program."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from bootstrap.cli.main import app as tulou
from bootstrap.settings.environment import known_variables
from bootstrap.settings.model import Settings

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
KUSTOMIZATIONS = sorted(FOLDER.rglob("kustomization.yaml"))
KNOWN = known_variables(Settings.model_fields)
EXAMPLE = FOLDER / "overlays" / "example" / "settings.env"
PARENT = 110 << 20
"""What a worker's parent process holds."""

OF_THE_OPERATOR = {"PrometheusRule": {"groups"}, "PodMonitor": {"selector", "podMetricsEndpoints"}}
"""What the specifications of the Prometheus operator's kinds have here; the schemas of Kubernetes don't know them."""

COMPONENT = "app.kubernetes.io/component"


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


MANIFESTS = [
    pytest.param(document, id=f"{path.relative_to(FOLDER)}:{document['kind']}")
    for path in sorted(FOLDER.rglob("*.yaml"))
    if path.name != "kustomization.yaml"
    for document in documents(path)
]
ALL: list[dict[str, Any]] = [parameter.values[0] for parameter in MANIFESTS]


def of_kind(*kinds: str) -> list[dict[str, Any]]:
    return [document for document in ALL if document["kind"] in kinds]


WORKLOADS = of_kind("Deployment", "Job", "CronJob")
each_workload = pytest.mark.parametrize("workload", WORKLOADS, ids=lambda found: found["metadata"]["name"])
each_deployment = pytest.mark.parametrize(
    "deployment", of_kind("Deployment"), ids=lambda found: found["metadata"]["name"]
)


def template_of(workload: dict[str, Any]) -> dict[str, Any]:
    spec = workload["spec"]
    return spec["jobTemplate"]["spec"]["template"] if workload["kind"] == "CronJob" else spec["template"]


def pod_of(workload: dict[str, Any]) -> dict[str, Any]:
    return template_of(workload)["spec"]


def container_of(workload: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod_of(workload)["containers"]
    return container


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    of_labels = {
        "In": lambda found: labels.get(found["key"]) in found["values"],
        "NotIn": lambda found: labels.get(found["key"]) not in found["values"],
    }
    return selector["matchLabels"].items() <= labels.items() and all(
        of_labels[found["operator"]](found) for found in selector.get("matchExpressions", [])
    )


@pytest.mark.parametrize("document", MANIFESTS)
def test_each_manifest_is_valid(document: dict[str, Any]) -> None:
    if document["apiVersion"].startswith("keda.sh/"):
        assert {"scaleTargetRef", "triggers"} <= set(document["spec"])
        return
    if document["apiVersion"] == "monitoring.coreos.com/v1":
        assert document["kind"] in OF_THE_OPERATOR
        assert OF_THE_OPERATOR[document["kind"]] == set(document["spec"])
        return
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_a_manifest_that_is_wrong_would_be_found() -> None:
    wrong = {**ALL[0], "spec": {**ALL[0]["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_what_a_kustomization_names_is_there(path: Path) -> None:
    (found,) = documents(path)
    named = [*found.get("resources", []), *found.get("components", [])]
    named += [file for generator in found.get("configMapGenerator", []) for file in generator["envs"]]
    assert [name for name in named if not (path.parent / name).exists()] == []
    here = {file.name for file in path.parent.iterdir()} - {"kustomization.yaml"}
    assert here <= set(named), "a file that nothing names"


def test_there_is_one_workload_for_each_role() -> None:
    arguments = {document["metadata"]["name"]: container_of(document)["args"] for document in WORKLOADS}
    assert arguments == {
        "tulou-api": ["serve"],
        "tulou-api-files": ["serve", "--domains", "files"],
        "tulou-relay": ["relay"],
        "tulou-migrate": ["migrate"],
        "tulou-backup": ["backup"],
        **{f"tulou-worker-{queue}": ["worker", "--queue", queue] for queue in ("default", "mail", "files")},
    }
    commands = {command.name or command.callback.__name__ for command in tulou.registered_commands}
    assert {found[0] for found in arguments.values()} <= commands


@each_workload
def test_pods_are_closed_in(workload: dict[str, Any]) -> None:
    pod, container = pod_of(workload), container_of(workload)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] in {found["metadata"]["name"] for found in of_kind("ServiceAccount")}
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]


@each_workload
def test_no_variable_is_unknown(workload: dict[str, Any]) -> None:
    """Service links would add some: TULOU_API_PORT, for one, from a Service named tulou-api."""
    assert pod_of(workload)["enableServiceLinks"] is False
    assert {variable["name"] for variable in container_of(workload).get("env", [])} <= KNOWN


def test_the_settings_of_the_example_are_settings() -> None:
    lines = EXAMPLE.read_text().splitlines()
    assert {line.partition("=")[0] for line in lines if line} <= KNOWN


def test_only_migration_and_backup_know_the_owner() -> None:
    knowing = {found["metadata"]["name"] for found in WORKLOADS if "tulou-owner" in str(found)}
    assert knowing == {"tulou-migrate", "tulou-backup"}


def test_a_backup_is_taken_each_night_into_a_bucket() -> None:
    (backup,) = of_kind("CronJob")
    assert backup["spec"]["concurrencyPolicy"] == "Forbid"
    assert re.fullmatch(r"\d+ \d+ \* \* \*", backup["spec"]["schedule"])
    # The place is named by the overlay's settings: pods have no folder that outlives them.
    assert [name for name in ("args", "env") if "s3://" in str(container_of(backup)[name])] == []
    (place,) = [line for line in EXAMPLE.read_text().splitlines() if line.startswith("TULOU_BACKUP_PLACE=")]
    assert place.partition("=")[2].startswith("s3://")
    (used,) = documents(EXAMPLE.parent / "kustomization.yaml")
    assert "../../components/backup" in used["components"]


@each_deployment
def test_labels_and_selectors_agree(deployment: dict[str, Any]) -> None:
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert matches(deployment["spec"]["selector"], labels)
    assert labels[COMPONENT] == deployment["metadata"]["name"].removeprefix("tulou-")
    (spread,) = pod_of(deployment)["topologySpreadConstraints"]
    assert matches(spread["labelSelector"], labels)
    budgets = [
        found for found in of_kind("PodDisruptionBudget") if matches(found["spec"]["selector"], labels)
    ]
    assert len(budgets) == 1


def test_services_policies_and_scalers_mean_something() -> None:
    labels = [template_of(found)["metadata"]["labels"] for found in WORKLOADS]
    names = {found["metadata"]["name"] for found in of_kind("Deployment")}
    for service in of_kind("Service"):
        assert any(service["spec"]["selector"].items() <= found.items() for found in labels)
    for policy in of_kind("NetworkPolicy"):
        assert any(matches(policy["spec"]["podSelector"], found) for found in labels)
    for scaler in of_kind("HorizontalPodAutoscaler", "ScaledObject"):
        assert scaler["spec"]["scaleTargetRef"]["name"] in names
    (ingress,) = of_kind("Ingress")
    backends = [path["backend"]["service"] for path in ingress["spec"]["rules"][0]["http"]["paths"]]
    services = {found["metadata"]["name"] for found in of_kind("Service")}
    assert {backend["name"] for backend in backends} <= services


@each_deployment
def test_probes_ask_for_what_there_is(deployment: dict[str, Any], app) -> None:
    container = container_of(deployment)
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"] == ["tulou-alive"]
    if "readinessProbe" in container:
        asked = container["readinessProbe"]["httpGet"]
        assert asked["path"] in app.openapi()["paths"]
        assert asked["port"] in {port["name"] for port in container["ports"]}
    assert ("readinessProbe" in container) == (container["args"][0] == "serve")


@each_deployment
def test_pods_have_the_time_to_stop_that_the_settings_promise(deployment: dict[str, Any]) -> None:
    settings, container = Settings(), container_of(deployment)
    needed = {"serve": settings.shutdown_grace, "worker": settings.worker_soft_shutdown}
    pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert (pause > 0) == (container["args"][0] == "serve")
    grace = pod_of(deployment)["terminationGracePeriodSeconds"]
    assert grace >= needed.get(container["args"][0], 10) + pause + 5


@each_deployment
def test_children_that_grow_are_replaced_before_their_pod_is_killed(deployment: dict[str, Any]) -> None:
    settings, container = Settings(), container_of(deployment)
    if container["args"][0] != "worker":
        return
    given = {variable["name"]: variable.get("value") for variable in container.get("env", [])}
    most = int(given.get("TULOU_JOBS_CHILD_MEMORY_BYTES", settings.jobs_child_memory_bytes))
    limit = container["resources"]["limits"]["memory"]
    assert settings.worker_concurrency * most + PARENT < int(limit[:-2]) << {"Mi": 20, "Gi": 30}[limit[-2:]]


@each_deployment
def test_writable_folders_are_volumes(deployment: dict[str, Any]) -> None:
    pod, container = pod_of(deployment), container_of(deployment)
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert {"/tmp", "/data"} <= set(mounted)  # noqa: S108  # in the container, not here
    assert set(mounted.values()) == {volume["name"] for volume in pod["volumes"]}
    scratch = {v["name"]: v.get("value") for v in container.get("env", [])}.get("TULOU_FILES_SCRATCH_FOLDER")
    assert scratch is None or scratch in mounted


def test_each_queue_grows_with_the_age_of_its_oldest_job(composition) -> None:
    queries = {
        scaler["spec"]["scaleTargetRef"]["name"]: scaler["spec"]["triggers"][0]["metadata"]["query"]
        for scaler in of_kind("ScaledObject")
    }
    assert queries == {
        f"tulou-worker-{queue}": f'max(tulou_jobs_oldest_due_seconds{{queue="{queue}"}})'
        for queue in composition.registry().queues()
    }


def test_the_rules_are_those_of_the_file_that_they_are_written_from() -> None:
    written = FOLDER / "components" / "monitoring" / "prometheus-rule.yaml"
    made = subprocess.run(
        [sys.executable, str(FOLDER.parents[1] / "scripts" / "prometheus_rule.py")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert written.read_text() == made.stdout, "run make format"
    (rule,) = documents(written)
    alerts = yaml.safe_load((FOLDER.parent / "observability" / "alerts.yml").read_text())
    assert rule["spec"]["groups"] == alerts["groups"]


def test_prometheus_asks_each_api_with_its_token_as_the_job_that_the_rules_name() -> None:
    (monitor,) = of_kind("PodMonitor")
    serving = {found["metadata"]["name"] for found in WORKLOADS if container_of(found)["args"][0] == "serve"}
    asked = {
        found["metadata"]["name"]
        for found in WORKLOADS
        if matches(monitor["spec"]["selector"], template_of(found)["metadata"]["labels"])
    }
    assert asked == serving
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == "http"
    assert endpoint["authorization"]["credentials"] == {"name": "tulou-secrets", "key": "TULOU_METRICS_TOKEN"}
    assert {"targetLabel": "job", "replacement": "tulou"} in endpoint["relabelings"]


def test_alerts_on_the_backup_name_the_job_and_a_page_that_there_is() -> None:
    (backup,) = of_kind("CronJob")
    (rules,) = [
        found for found in of_kind("PrometheusRule") if found["metadata"]["name"] == "tulou-backup-job"
    ]
    for rule in rules["spec"]["groups"][0]["rules"]:
        assert f'"{backup["metadata"]["name"]}' in rule["expr"]
        page = rule["annotations"]["runbook_url"].removeprefix("https://example.com/tulou/")
        assert (FOLDER.parents[1] / page).exists()


@each_deployment
def test_pods_wait_for_the_schema_of_their_version(deployment: dict[str, Any]) -> None:
    (waiting,) = pod_of(deployment)["initContainers"]
    assert waiting["command"] == ["sh", "-c", "until tulou migrate --check; do sleep 5; done"]
    container = container_of(deployment)
    for same in ("image", "securityContext"):
        assert waiting[same] == container[same]
    assert waiting["envFrom"] == [{"configMapRef": {"name": "tulou-settings"}}]
    assert [found["name"] for found in waiting["env"]] == ["DATABASE_URL"]
    assert "memory" in waiting["resources"]["limits"]


def allowed(labels: dict[str, str]) -> set[int | str]:
    """Return the ports that a pod may go to."""
    return {
        port["port"]
        for policy in of_kind("NetworkPolicy")
        if matches(policy["spec"]["podSelector"], labels)
        for rule in policy["spec"].get("egress", [])
        for port in rule["ports"]
    }


@each_workload
def test_each_pod_may_go_only_where_its_role_leads(workload: dict[str, Any]) -> None:
    role = workload["metadata"]["name"].removeprefix("tulou-")
    expected: set[int | str] = {53, 5432}
    if role not in {"migrate", "backup"}:
        expected.add(6379)
    if role in {"api", "api-files", "worker-mail"}:
        expected.add(587)
    if role in {"api", "api-files", "worker-default", "worker-files", "backup"}:
        expected.add(443)
    assert allowed(template_of(workload)["metadata"]["labels"]) == expected


def test_requests_come_from_the_ingress_and_from_prometheus_alone() -> None:
    open_ports = [rule for policy in of_kind("NetworkPolicy") for rule in policy["spec"].get("ingress", [])]
    (rule,) = open_ports
    (source,) = rule["from"]
    (names,) = source["namespaceSelector"]["matchExpressions"]
    assert names["values"] == ["ingress-nginx", "monitoring"]
    (forbidding,) = [found for found in of_kind("NetworkPolicy") if found["metadata"]["name"] == "tulou"]
    assert forbidding["spec"]["policyTypes"] == ["Ingress", "Egress"]


STORE = {"TULOU_FILES_STORE_KEY_ID", "TULOU_FILES_STORE_SECRET"}
KEYS = {"TULOU_SIGNING_KEYS", "TULOU_SIGNING_KEYS_ES256", "TULOU_TOKEN_KEYS", "TULOU_MAIL_KEYS"}
SERVERS = {"DATABASE_URL", "REDIS_URL"}
SECRETS_OF = {
    "relay": {*SERVERS, "TULOU_SENTRY_DSN"},
    "worker-default": {*SERVERS, "TULOU_TOKEN_KEYS", "TULOU_MAIL_KEYS", *STORE, "TULOU_SENTRY_DSN"},
    "worker-mail": {*SERVERS, "TULOU_MAIL_KEYS", "SMTP_URL", "TULOU_SENTRY_DSN"},
    "worker-files": {*SERVERS, *STORE, "TULOU_SENTRY_DSN"},
    "migrate": {"DATABASE_URL", "TULOU_DATABASE_OWNER_URL"},
    "backup": {*SERVERS, *KEYS, *STORE, "TULOU_DATABASE_OWNER_URL"},
}
"""An API gets all of `tulou-secrets`."""


@each_workload
def test_each_pod_gets_the_secrets_that_it_needs_and_no_others(workload: dict[str, Any]) -> None:
    container, role = container_of(workload), workload["metadata"]["name"].removeprefix("tulou-")
    whole = {"secretRef": {"name": "tulou-secrets"}} in container["envFrom"]
    assert whole == (container["args"][0] == "serve")
    if not whole:
        named = [found for found in container["env"] if "secretKeyRef" in found.get("valueFrom", {})]
        assert {found["name"] for found in named} == SECRETS_OF[role]
        assert all(found["valueFrom"]["secretKeyRef"]["key"] == found["name"] for found in named)
