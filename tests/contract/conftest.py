"""The OpenAPI document as a file, and the tools that read it."""

import json
from pathlib import Path

import pytest
from fastapi import FastAPI

from tests.contract.tools import install_client_generator, install_node_packages
from tests.end_to_end.conftest import citizens, live, system  # noqa: F401  # the same running system


@pytest.fixture(scope="session")
def document(app: FastAPI) -> dict:
    return app.openapi()


@pytest.fixture(scope="session")
def document_file(document: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("contract") / "openapi.json"
    path.write_text(json.dumps(document, indent=1))
    return path


@pytest.fixture(scope="session")
def node_packages() -> None:
    install_node_packages()


@pytest.fixture(scope="session")
def client_generator() -> None:
    install_client_generator()
