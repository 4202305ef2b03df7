"""Every command on a page exists, with its options and number of arguments."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from bootstrap.cli.main import app
from tests.deployment.examples import compose_services

PROJECT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(PROJECT / "docs").glob("*.md"),
        *(PROJECT / "docs" / "runbooks").glob("*.md"),
        *PROJECT.glob("*.md"),
    ]
)
SERVICES = compose_services()
TULOU: Any = typer.main.get_command(app)
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_ROW = re.compile(r"^\| `(tulou[ a-z-]*)[^|`]*` \|(.*)$", re.MULTILINE)
_ENDS = frozenset({"|", "||", "&&", ";", "&", ">", "2>", ")"})
_NO_SHELL = frozenset({"mermaid", "python", "json", "yaml", "ini", "promql"})


def typed_on(page: str) -> Iterator[tuple[str, bool]]:
    """Yield what stands in a page as code, and whether it is a line to be typed or a word of a sentence."""
    for language, block in _FENCED.findall(page):
        if language not in _NO_SHELL:
            yield from ((line, True) for line in block.splitlines())
    rest = _FENCED.sub("", page)
    yield from ((line, True) for line in rest.splitlines() if line.startswith("    "))
    prose = "\n".join(line for line in rest.splitlines() if not line.startswith("    "))
    yield from ((span, False) for span in _INLINE.findall(prose))
    for command, others in _ROW.findall(prose):
        yield from ((f"{command} {span}", False) for span in _INLINE.findall(others) if span.startswith("--"))


def words_of(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # a quotation that goes on in the next line: no command of ours
        return []


def commands_in(line: str) -> Iterator[list[str]]:
    """Yield the arguments of each `tulou` in a line, also of those that a container is given."""
    words = words_of(line)
    for place, word in enumerate(words):
        before, after = words[:place], until_the_end(words[place + 1 :])
        is_image = word == "tulou:latest" and "run" in before
        if is_image or word.endswith("bin/tulou") or (word == "tulou" and is_where_a_command_is(before)):
            yield after
        elif [*before[-2:], word] == ["docker", "compose", "run"] and "--entrypoint" not in after:
            name, *given = [option for option in after if option not in {"--rm", "-T"}]
            yield given or SERVICES.get(name, {"command": ["no-service", name]})["command"]


def is_where_a_command_is(before: list[str]) -> bool:
    since_the_last = before[len(before) - len(until_the_end(before[::-1])) :]
    return since_the_last[:3] == ["docker", "compose", "exec"] or all("=" in word for word in since_the_last)


def until_the_end(words: list[str]) -> list[str]:
    end = next((place for place, word in enumerate(words) if word in _ENDS), len(words))
    return words[:end]


def wrong_with(arguments: list[str], *, whole: bool) -> str | None:
    """Tell why `tulou` wouldn't take these arguments. Words of a sentence need not be a whole command."""
    command = TULOU
    while hasattr(command, "commands") and arguments:
        name, *arguments = arguments
        if name.startswith("--") and any(name in option.opts for option in command.params):
            return None
        if name not in command.commands:
            return f"there is no {name!r}"
        command = command.commands[name]
    if hasattr(command, "commands"):
        return "it lacks a command" if whole else None
    context = command.context_class(command)
    try:
        given, left, _ = command.make_parser(context).parse_args(list(arguments))
    except Exception as error:  # noqa: BLE001  # whatever the parser raises, it is what the reader would see
        return str(error) if whole or "requires an argument" not in str(error) else None
    if left:
        return f"it takes no {left}"
    asked = [each.name for each in command.params if each.required and not getattr(each, "prompt", None)]
    missing = [name for name in asked if given.get(name) is None]
    return f"it lacks {missing}" if missing and whole else None


def wrong_on(page: str) -> list[str]:
    return [
        f"{line.strip()}: {why}"
        for line, whole in typed_on(page)
        for arguments in commands_in(line)
        if (why := wrong_with(arguments, whole=whole)) is not None
    ]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_of_a_page_is_there(path: Path) -> None:
    assert wrong_on(path.read_text()) == []


def test_the_pages_are_read() -> None:
    known = {name for name in TULOU.commands if name not in {"new", "remove", "jobs"}}
    told = {
        arguments[0]
        for path in PAGES
        for line, _ in typed_on(path.read_text())
        for arguments in commands_in(line)
        if arguments
    }
    assert known - told <= {"dev"}, "a command that no page tells of"  # `make run` is


@pytest.mark.parametrize(
    "line",
    [
        "    tulou resettle /backups",
        "    .venv/bin/tulou backup --place /backups",
        "    docker compose exec api tulou doctor --jason",
        "    docker compose run --rm backup restore --chek /backups/1",
        "    docker compose run --rm resettle",
        "    tulou restore",
        "    tulou restore /backups/1 /backups/2",
        "    true && tulou jobs list --state failed",
        "see `tulou jobs forget ID` for more",
        "| `tulou jobs list` | the latest; `--colour red` |",
    ],
)
def test_a_command_that_is_wrong_would_be_found(line: str) -> None:
    assert len(wrong_on(f"Before.\n\n{line}\n")) == 1


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_service_that_a_page_names_to_compose_is_one(path: Path) -> None:
    text = path.read_text()
    entered = set(re.findall(r"docker compose exec ([a-z-]+)", text))
    told = re.findall(
        r"docker compose (?:stop|restart|start|logs(?: --since \w+)?)((?: +[a-z][a-z-]*)+)", text
    )
    named = {name for found in told for name in found.split()}
    scaled = set(re.findall(r"--scale ([a-z-]+)=", text))
    assert (entered | named | scaled) - set(SERVICES) == set()
