"""The examples of fleets as they are applied, after overrides and patches."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
COMPOSE = DEPLOY.parent / "docker-compose.yml"
OVERRIDE = DEPLOY / "compose" / "fleets.yml"
PROXY = DEPLOY / "compose" / "fleets.conf"
COMPONENT = KUBERNETES / "components" / "fleets" / "kustomization.yaml"
RESET = object()
"""In an override of compose: what was there is taken away."""

REPLACED = {"command", "entrypoint"}


class _Override(yaml.SafeLoader):
    pass


_Override.add_constructor("!reset", lambda *_: RESET)


@dataclass(frozen=True)
class Example:
    """Processes by name, each with its command, and which of them the address sends a path to."""

    commands: Mapping[str, list[str]]
    prefixes: Mapping[str, str]

    def of(self, role: str) -> dict[str, list[str]]:
        """Return the commands of the processes with this role."""
        return {name: command for name, command in self.commands.items() if command[0] == role}

    def service_of(self, path: str) -> str:
        """Return who is sent a path: the longest prefix that ends where a part of the path ends decides."""
        fitting = [prefix for prefix in self.prefixes if f"{path}/".startswith(f"{prefix.rstrip('/')}/")]
        return self.prefixes[max(fitting, key=len)]


def compose_services(override: Path | None = OVERRIDE) -> dict[str, Any]:
    """Return the services of docker-compose.yml, with the override if there is one."""
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    if override is not None:
        found = _merged(found, yaml.load(override.read_text(), Loader=_Override))  # noqa: S506  # a SafeLoader with one tag more
    services: dict[str, Any] = found["services"]
    return services


def with_compose() -> Example:
    """Return the example of compose."""
    ours = {name: service for name, service in compose_services().items() if "tulou" in service["image"]}
    return Example({name: service["command"] for name, service in ours.items()}, dict(_locations()))


def with_kubernetes() -> Example:
    """Return the example of Kubernetes."""
    found = list(_patched())
    (ingress,) = [document for document in found if document["kind"] == "Ingress"]
    paths = ingress["spec"]["rules"][0]["http"]["paths"]
    assert {path["pathType"] for path in paths} == {"Prefix"}
    commands = {
        document["metadata"]["name"]: document["spec"]["template"]["spec"]["containers"][0]["args"]
        for document in found
        if document["kind"] == "Deployment"
    }
    return Example(commands, {path["path"]: path["backend"]["service"]["name"] for path in paths})


def _merged(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """Merge as compose does: mappings by key, lists by adding, commands by replacing."""
    result = dict(base)
    for key, value in override.items():
        below = base.get(key)
        if value is RESET:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(below, dict):
            result[key] = _merged(below, value)
        elif isinstance(value, list) and isinstance(below, list) and key not in REPLACED:
            result[key] = [*below, *value]
        else:
            result[key] = value
    return result


def _locations() -> Iterator[tuple[str, str]]:
    """Read where the proxy sends what. `= /v1/files` and `/v1/files/` make one prefix, neither is without the other."""
    text = PROXY.read_text()
    found = re.findall(
        r"location (= )?(\S+) \{\s+set \$fleet http://([\w-]+):8000;\s+proxy_pass \$fleet;", text
    )
    assert len(found) == text.count("location ")
    exact = {path: service for equals, path, service in found if equals}
    below = {path.rstrip("/"): service for equals, path, service in found if not equals}
    yield "/", below.pop("")
    assert exact == below
    yield from exact.items()


def _patched() -> Iterator[dict[str, Any]]:
    component = yaml.safe_load(COMPONENT.read_text())
    files = [*(KUBERNETES / "base").glob("*.yaml"), *(KUBERNETES / "overlays").glob("*/ingress.yaml")]
    files += [COMPONENT.parent / name for name in component["resources"]]
    for document in (document for file in files for document in yaml.safe_load_all(file.read_text())):
        for patch in component["patches"]:
            target = patch["target"]
            if (target["kind"], target["name"]) == (
                document["kind"],
                document.get("metadata", {}).get("name"),
            ):
                _patch(document, yaml.safe_load(patch["patch"]))
        yield document


def _patch(document: Any, steps: list[dict[str, Any]]) -> None:
    """Do what a JSON patch says (RFC 6902), as far as it is used here."""
    for step in steps:
        *way, last = (int(part) if part.isdigit() else part for part in step["path"].split("/")[1:])
        place = document
        for part in way:
            place = place[part]
        if step["op"] == "add":
            place.insert(last, step["value"])
        else:
            assert step["op"] == "replace"
            assert last in place
            place[last] = step["value"]
