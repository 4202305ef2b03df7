"""Clients that were generated from the OpenAPI document run the demo's story."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from tests.contract.tools import CLIENTS, HERE, PROJECT, TYPESCRIPT, Failed, node, run
from tools.faults.people import Person

PHOTOGRAPH = HERE.parent / "data" / "astronaut.jpg"
pytestmark = pytest.mark.timeout(600)  # the first run on a machine brings the tools
TOLD = "The story was told."
PAGE = PROJECT / "docs" / "clients.md"


def example(language: str, url: str, person: Person) -> str:
    """Return the example that the page shows, for this API and somebody who is there."""
    code = PAGE.read_text().split(f"```{language}\n")[1].split("```")[0]
    told = {"http://127.0.0.1:8000": url, "ada@example.com": person.email, '"..."': f'"{person.password}"'}
    for shown, real in told.items():
        assert shown in code
        code = code.replace(shown, real)
    return code


@pytest.fixture(scope="module")
def generated_types(document_file: Path, tmp_path_factory: pytest.TempPathFactory, node_packages) -> Path:
    path = tmp_path_factory.mktemp("typescript") / "schema.d.ts"
    generate = "node_modules/openapi-typescript/bin/cli.js"
    node(generate, document_file, "--output", path, "--default-non-nullable=false")
    return path


@pytest.fixture
def typescript(generated_types: Path, tmp_path: Path) -> Path:
    """A folder with the generated types, and the story that uses them."""
    shutil.copy(generated_types, tmp_path)
    for name in ("story.ts", "tsconfig.json", "package.json"):
        shutil.copy(TYPESCRIPT / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(TYPESCRIPT / "node_modules")
    return tmp_path


def check_types(folder: Path) -> None:
    node("node_modules/typescript/bin/tsc", "--project", folder)


def test_a_client_in_typescript_tells_the_story(typescript: Path, system, servers) -> None:
    check_types(typescript)
    said = node(str(typescript / "story.ts"), system.url, servers.mails, PHOTOGRAPH, at=typescript)
    assert TOLD in said


async def test_the_example_in_typescript_works_as_printed(typescript: Path, system, citizens) -> None:
    somebody = await citizens.register()
    story = typescript / "story.ts"
    story.write_text(example("ts", system.url, somebody) + "console.log(me.data?.email);\n")
    await asyncio.to_thread(check_types, typescript)
    assert somebody.email in await asyncio.to_thread(node, str(story), at=typescript)


def test_types_refuse_what_the_api_would(typescript: Path) -> None:
    story = typescript / "story.ts"
    wrong = story.read_text().replace('name: "Ada"', "name: 1815").replace("data?.email,", "data?.mail,")
    story.write_text(wrong)
    with pytest.raises(Failed, match=r"number.*not assignable") as failure:
        check_types(typescript)
    assert "Property 'mail' does not exist" in str(failure.value)


@pytest.fixture(scope="module")
def python(document_file: Path, tmp_path_factory: pytest.TempPathFactory, client_generator) -> Path:
    """A folder with the generated package."""
    folder = tmp_path_factory.mktemp("python")
    generator = (CLIENTS / "bin" / "openapi-python-client", "generate", "--meta", "none", "--fail-on-warning")
    path = f"{CLIENTS / 'bin'}{os.pathsep}{os.environ['PATH']}"
    run(*generator, "--path", document_file, "--output-path", folder / "tulou_client", PATH=path)
    return folder


def test_a_client_in_python_tells_the_story(python: Path, system, servers) -> None:
    interpreter, story = CLIENTS / "bin" / "python", HERE / "story.py"
    said = run(interpreter, story, system.url, servers.mails, PHOTOGRAPH, at=python, PYTHONPATH=str(python))
    assert TOLD in said


async def test_the_example_in_python_works_as_printed(python: Path, system, citizens) -> None:
    somebody = await citizens.register()
    code = example("python", system.url, somebody) + "print(me.email)\n"
    said = await asyncio.to_thread(
        run, CLIENTS / "bin" / "python", "-c", code, at=python, PYTHONPATH=str(python)
    )
    assert somebody.email in said
