"""A build has its version, labels, bill of materials and changelog."""

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from bootstrap.cli.main import app as tulou

PROJECT = Path(__file__).parents[2]
OURS: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
DOCKERFILE = (PROJECT / "Dockerfile").read_text()
LABELS = {"title", "version", "revision", "created", "source", "licenses"}

PURL = {"type": "string", "pattern": r"^pkg:pypi/[a-z0-9]+(-[a-z0-9]+)*@[0-9A-Za-z.+!_-]+$"}
CYCLONEDX = {
    "type": "object",
    "required": ["bomFormat", "specVersion"],
    "properties": {
        "bomFormat": {"const": "CycloneDX"},
        "specVersion": {"const": "1.6"},
        "serialNumber": {
            "pattern": "^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
        },
        "version": {"type": "integer", "minimum": 1},
        "metadata": {"properties": {"component": {"required": ["type", "name"]}}},
        "components": {
            "type": "array",
            "uniqueItems": True,
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["type", "name", "version", "purl", "bom-ref", "externalReferences"],
                "properties": {
                    "type": {"const": "library"},
                    "purl": PURL,
                    "externalReferences": {
                        "minItems": 1,
                        "items": {
                            "required": ["type", "url", "hashes"],
                            "properties": {
                                "type": {"const": "distribution"},
                                "hashes": {
                                    "minItems": 1,
                                    "uniqueItems": True,
                                    "items": {
                                        "required": ["alg", "content"],
                                        "properties": {
                                            "alg": {"const": "SHA-256"},
                                            "content": {"pattern": "^[a-f0-9]{64}$"},
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
        "dependencies": {
            "type": "array",
            "uniqueItems": True,
            "items": {"required": ["ref"], "properties": {"dependsOn": {"uniqueItems": True}}},
        },
    },
}
"""What the schema of CycloneDX 1.6 requires, of the parts that are used here."""


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    made = subprocess.run(
        [sys.executable, "scripts/sbom.py"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, Any] = json.loads(made.stdout)
    return found


def test_the_version_is_told_with_the_commit_where_it_is_known(monkeypatch) -> None:
    monkeypatch.delenv("TULOU_BUILD", raising=False)
    assert CliRunner().invoke(tulou, ["--version"]).output == f"tulou {OURS['version']}\n"
    monkeypatch.setenv("TULOU_BUILD", "8f3c2d1")
    assert CliRunner().invoke(tulou, ["--version"]).output == f"tulou {OURS['version']} (8f3c2d1)\n"


def test_every_place_has_the_version_of_pyproject(app: FastAPI) -> None:
    example = (PROJECT / "deploy" / "kubernetes" / "overlays" / "example" / "kustomization.yaml").read_text()
    changes = (PROJECT / "CHANGELOG.md").read_text()
    named = {
        "the installed package": importlib.metadata.version("tulou"),
        "OpenAPI": app.openapi()["info"]["version"],
        "the label of the image": subprocess.run(
            ["make", "--silent", "--dry-run", "image"],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=True,
        )
        .stdout.partition("VERSION=")[2]
        .split()[0],
        "the example for Kubernetes": re.findall(r'newTag: "(.+)"', example)[0],
        "the latest release, or the first to come": re.findall(
            r"^## \[(\d.*?)\]|The first version will be (\d\S*)\.$", changes, re.MULTILINE
        )[0],
    }
    named = {place: "".join(version) for place, version in named.items()}
    assert set(named.values()) == {OURS["version"]}, named


def test_the_version_is_told_whatever_is_wrong_with_the_settings(monkeypatch) -> None:
    monkeypatch.setenv("TULOU_NONSENSE", "1")
    assert CliRunner().invoke(tulou, ["--version"]).exit_code == 0


def test_the_image_has_labels_and_knows_its_commit() -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', DOCKERFILE))
    assert set(labels) == LABELS
    assert labels["licenses"] == OURS["license"]
    assert "ENV TULOU_BUILD=${REVISION}" in DOCKERFILE
    arguments = set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))
    assert arguments == {"PYTHON_IMAGE", "VERSION", "REVISION", "CREATED", "SOURCE"}
    target = (PROJECT / "Makefile").read_text().partition("\nimage: ")[2].partition("\n\n")[0]
    assert set(re.findall(r"--build-arg (\w+)=", target)) == arguments


def test_the_bill_of_materials_is_one_of_cyclonedx(bill: dict[str, Any]) -> None:
    jsonschema_rs.validate(CYCLONEDX, bill)
    refs = [component["bom-ref"] for component in bill["components"]]
    assert len(set(refs)) == len(refs)
    known = {*refs, bill["metadata"]["component"]["bom-ref"]}
    assert {entry["ref"] for entry in bill["dependencies"]} == known
    assert {ref for entry in bill["dependencies"] for ref in entry["dependsOn"]} == set(refs)


def test_the_bill_of_materials_has_all_that_the_image_installs(bill: dict[str, Any]) -> None:
    lock = (PROJECT / "requirements" / "run.txt").read_text()
    pins = set(re.findall(r"^([\w.-]+)(?:\[.*\])?==(\S+)", lock, re.MULTILINE))
    assert {(component["name"], component["version"]) for component in bill["components"]} == pins
    hashes = {
        each["content"]
        for component in bill["components"]
        for file in component["externalReferences"]
        for each in file["hashes"]
    }
    assert hashes == set(re.findall(r"sha256:([0-9a-f]{64})", lock))
    assert bill["metadata"]["component"]["version"] == OURS["version"]


def test_a_bill_of_materials_that_is_wrong_would_be_found(bill: dict[str, Any]) -> None:
    wrong = {**bill, "components": [{**bill["components"][0], "purl": "aiosmtplib"}]}
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(CYCLONEDX, wrong)


def test_the_changes_are_told_as_keep_a_changelog_asks() -> None:
    text = (PROJECT / "CHANGELOG.md").read_text()
    assert text.startswith("# Changelog\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE)[0] == "[Unreleased]"
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert OURS["version"] in text


def test_no_example_has_a_digest_that_somebody_made_up() -> None:
    files = [PROJECT / "docker-compose.yml", PROJECT / "Dockerfile"]
    files += [path for path in (PROJECT / "deploy").rglob("*") if path.is_file()]
    files += (PROJECT / "docs").glob("*.md")
    assert [path.name for path in files if re.search(r"@sha256:[0-9a-f]", path.read_text())] == []
