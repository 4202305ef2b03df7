"""Print what the image installs as CycloneDX JSON (1.6), from the lock file, without a network.

    make sbom        (or: python3 scripts/sbom.py > sbom.cdx.json)

The standard library is enough. A distribution's hashes are those of its files, of which an installation takes one.
"""

import json
import re
import sys
import tomllib
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
LOCK = PROJECT / "requirements" / "run.txt"
_PIN = re.compile(r"([A-Za-z0-9][\w.-]*)(?:\[[\w,.-]+\])?==([^\s;\\]+)(?:\s*;\s*(.*?))?\s*\\?$")
_HASH = re.compile(r"\s+--hash=sha256:([0-9a-f]{64})")
_PARENT = re.compile(r"\s+#\s+(?:via\s+)?([\w.-]+)(?:\[[\w,.-]+\])?(?:\s+\(pyproject\.toml\))?$")


@dataclass
class Pin:
    """A distribution of the lock file, and who asked for it."""

    name: str
    version: str
    marker: str | None
    hashes: list[str] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)

    @property
    def purl(self) -> str:
        """Its package URL."""
        return f"pkg:pypi/{self.name}@{self.version}"


def pins_of(text: str) -> list[Pin]:
    """Read a lock file as `uv pip compile --generate-hashes` writes it."""
    pins: list[Pin] = []
    for line in text.splitlines():
        if pin := _PIN.match(line):
            name = re.sub(r"[-_.]+", "-", pin[1]).lower()
            pins.append(Pin(name, pin[2], pin[3]))
        elif digest := _HASH.match(line):
            pins[-1].hashes.append(digest[1])
        elif parent := _PARENT.match(line):
            pins[-1].parents.append(parent[1])
    return pins


def bill_of_materials(lock: str, project: dict[str, Any]) -> dict[str, Any]:
    """Return the document. The same lock file and version always give the same one."""
    pins = pins_of(lock)
    root = f"{project['name']}@{project['version']}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, root + lock)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": project["name"],
                "version": project["version"],
                "description": project["description"],
                "licenses": [{"license": {"id": project["license"]}}],
            }
        },
        "components": [_component(pin) for pin in pins],
        "dependencies": _dependencies(pins, root, project["name"]),
    }


def _component(pin: Pin) -> dict[str, Any]:
    files = {
        "type": "distribution",
        "url": pin.purl,
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in pin.hashes],
    }
    component = {
        "type": "library",
        "bom-ref": pin.purl,
        "name": pin.name,
        "version": pin.version,
        "purl": pin.purl,
        "externalReferences": [files],
    }
    if pin.marker:
        component["properties"] = [{"name": "python:environment-marker", "value": pin.marker}]
    return component


def _dependencies(pins: list[Pin], root: str, project: str) -> list[dict[str, Any]]:
    needed: dict[str, list[str]] = defaultdict(list)
    for pin in pins:
        for parent in pin.parents:
            needed[parent].append(pin.purl)
    refs = [(root, project), *((pin.purl, pin.name) for pin in pins)]
    return [{"ref": ref, "dependsOn": sorted(set(needed[name]))} for ref, name in refs]


def main() -> None:
    """Print the document."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    json.dump(bill_of_materials(LOCK.read_text(), project), sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
