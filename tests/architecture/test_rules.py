"""Rules about the code that import contracts can't express; each test also sees its rule broken."""

import ast
import functools
from collections.abc import Callable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

from bootstrap.container import TulouContainer, domains_of, sole_export

PROJECT = Path(__file__).parents[2]
PACKAGES = ("bootstrap", "domains", "shared")
DRAWERS = {"base", "common", "core", "helper", "helpers", "lib", "misc", "tools", "util", "utils"}
Rule = Callable[[str, ast.Module], Iterator[str]]


@functools.cache
def sources() -> list[tuple[str, ast.Module]]:
    paths = [path for package in PACKAGES for path in sorted((PROJECT / package).rglob("*.py"))]
    return [(path.relative_to(PROJECT).as_posix(), ast.parse(path.read_text())) for path in paths]


@functools.cache
def nodes(tree: ast.Module) -> list[ast.AST]:
    return list(ast.walk(tree))


def calls(tree: ast.Module, name: str) -> Iterator[int]:
    for node in nodes(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == name:
                yield node.lineno


def is_part(path: str, *parts: str) -> bool:
    """Tell whether the file belongs to one of these parts of a domain: `service.py` or `service/`."""
    pieces = path.split("/")
    return len(pieces) > 2 and pieces[0] == "domains" and pieces[2].removesuffix(".py") in parts


def only_services_open_transactions(path: str, tree: ast.Module) -> Iterator[str]:
    if is_part(path, "service") or path in {
        "shared/db/database.py",
        "shared/db/transaction.py",
        "bootstrap/backup/loading.py",  # a restore is one transaction of all domains
    }:
        return
    for name in ("transaction", "_transaction"):
        yield from (
            f"{path}:{line} opens a transaction: let a method of the service do it"
            for line in calls(tree, name)
        )


def only_the_database_commits(path: str, tree: ast.Module) -> Iterator[str]:
    if path in {"shared/db/transaction.py", "bootstrap/migrations/env.py"}:
        return
    for name in ("commit", "rollback"):
        yield from (
            f"{path}:{line} calls {name}: leaving `async with self.transaction()` commits, an error rolls back"
            for line in calls(tree, name)
        )


def no_object_graphs(path: str, tree: ast.Module) -> Iterator[str]:
    for name in ("relationship", "Relationship", "backref"):
        yield from (
            f"{path}:{line} declares a relationship: keep the id, and read the other row by a statement of its own"
            for line in calls(tree, name)
        )


def foreign_keys_stay_at_home(path: str, tree: ast.Module) -> Iterator[str]:
    if not path.startswith("domains/"):
        return
    own = path.split("/")[1]
    targets = [
        keyword.value
        for node in nodes(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "foreign_key"
    ]
    targets += [
        node.args[0]
        for node in nodes(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ForeignKey" and node.args
    ]
    for target in targets:
        if not (isinstance(target, ast.Constant) and str(target.value).startswith(f"{own}.")):
            yield f"{path}:{target.lineno} refers to another domain's table: keep the id, and ask its Protocol"


def annotations_are_real_where_frameworks_read_them(path: str, tree: ast.Module) -> Iterator[str]:
    if is_part(path, "router", "tasks") or path.startswith("bootstrap/"):
        for node in nodes(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                yield f"{path}:{node.lineno} turns annotations into text, which frameworks read here: import the types"


def nothing_is_imported_by_name(path: str, tree: ast.Module) -> Iterator[str]:
    if path.startswith("tools/dev/") or path == "bootstrap/cli/main.py":
        return  # the latter offers the commands of tools/ where that folder exists
    for node in nodes(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        # importlib.metadata tells versions; it imports nothing.
        if any(name.split(".")[0] == "importlib" and name != "importlib.metadata" for name in names):
            yield f"{path}:{node.lineno} imports by name, past every contract: write the import, or be given the thing"
    yield from (f"{path}:{line} imports by name: write the import" for line in calls(tree, "__import__"))


def no_drawers(path: str, _tree: ast.Module) -> Iterator[str]:
    if any(piece.removesuffix(".py") in DRAWERS for piece in path.split("/")):
        yield f"{path} is a drawer: name it after what it does"


def init_files_are_empty(path: str, tree: ast.Module) -> Iterator[str]:
    if path.endswith("__init__.py") and tree.body:
        yield f"{path} is not empty: move it into a module with a name"


LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


def log_lines_name_routes(path: str, tree: ast.Module) -> Iterator[str]:
    """Paths and queries can hold tokens and ids."""
    for node in nodes(tree):
        if not (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS
        ):
            continue
        if {keyword.arg for keyword in node.keywords} & {"path", "url", "query", "raw_path", "target"}:
            yield f"{path}:{node.lineno} logs a path: log the route's template, `route_of(scope.get('route'))`"


def text_is_normalised_in_one_place(path: str, tree: ast.Module) -> Iterator[str]:
    if path == "shared/normal_forms.py":
        return
    for node in nodes(tree):
        is_slow = isinstance(node, ast.Attribute) and node.attr in {"normalize", "is_normalized"}
        if is_slow and getattr(node.value, "id", "") == "unicodedata":
            yield f"{path}:{node.lineno} may take quadratic time: call `shared.normal_forms.normalised`"


def one_import_style_of_dependency_injector(path: str, tree: ast.Module) -> Iterator[str]:
    for node in nodes(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dependency_injector."):
            yield f"{path}:{node.lineno}: write `from dependency_injector import containers, providers`"


RULES: list[tuple[Rule, str, str]] = [
    (
        one_import_style_of_dependency_injector,
        "domains/jobs/container.py",
        "from dependency_injector.providers import Singleton",
    ),
    (only_services_open_transactions, "domains/jobs/router.py", "async with database.transaction(): pass"),
    (only_services_open_transactions, "domains/jobs/repository/jobs.py", "self.transaction()"),
    (only_the_database_commits, "domains/jobs/service/jobs.py", "session.commit()"),
    (only_the_database_commits, "shared/db/repository.py", "session.rollback()"),
    (no_object_graphs, "domains/users/models.py", "x = Relationship()"),
    (foreign_keys_stay_at_home, "domains/files/models.py", "x = Field(foreign_key='users.users.id')"),
    (foreign_keys_stay_at_home, "domains/files/models.py", "x = ForeignKey('users.users.id')"),
    (
        annotations_are_real_where_frameworks_read_them,
        "domains/jobs/router.py",
        "from __future__ import annotations",
    ),
    (nothing_is_imported_by_name, "domains/jobs/service/jobs.py", "import importlib"),
    (nothing_is_imported_by_name, "shared/wiring.py", "from importlib import import_module"),
    (no_drawers, "shared/helpers.py", ""),
    (text_is_normalised_in_one_place, "shared/text.py", "unicodedata.normalize('NFC', text)"),
    (no_drawers, "shared/utils/text.py", ""),
    (init_files_are_empty, "domains/jobs/__init__.py", "x = 1"),
    (
        log_lines_name_routes,
        "shared/http/middleware/edge.py",
        "logger.exception('failed', path=scope['path'])",
    ),
]


@pytest.mark.parametrize("rule", sorted({rule for rule, _, _ in RULES}, key=lambda rule: rule.__name__))
def test_the_rule_holds(rule: Rule) -> None:
    broken = [line for path, tree in sources() for line in rule(path, tree)]
    assert broken == []


@pytest.mark.parametrize(("rule", "path", "source"), RULES)
def test_a_broken_rule_is_seen(rule: Rule, path: str, source: str) -> None:
    wrapped = f"async def f():\n    {source}" if source.startswith("async") else source
    assert list(rule(path, ast.parse(wrapped)))


def test_every_folder_of_domains_is_composed(composition: TulouContainer) -> None:
    folders = {path.parent.name for path in (PROJECT / "domains").glob("*/__init__.py")}
    assert folders == set(domains_of(composition))


def test_domains_stand_in_the_map_from_the_lowest_up() -> None:
    tree = ast.parse((PROJECT / "bootstrap/container.py").read_text())
    given: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            if ast.unparse(node.value.func) != "providers.Container":
                continue
            name = node.targets[0].id  # type: ignore[attr-defined]  # a plain name
            used = {inner.id for inner in ast.walk(node.value) if isinstance(inner, ast.Name)}
            given[name] = used & (set(given) | {name})
            assert name not in given[name]
    assert len(given) >= 5


def test_each_domain_is_given_the_core(composition: TulouContainer) -> None:
    for name, parts in domains_of(composition).items():
        assert parts.core.clock() is composition.clock(), name


def test_an_export_that_no_domain_or_several_offer_is_an_error(composition: TulouContainer) -> None:
    with pytest.raises(LookupError, match=r"One domain must export zoo; these do: none\."):
        sole_export(composition, "zoo")
    with pytest.raises(LookupError, match=r"these do: modes, .*auth"):
        sole_export(composition, "measures")


def circle_in(imports: Mapping[str, set[str]]) -> list[str]:
    """Return modules of which each imports the one before it, and the first the last; none if there is no circle."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as found:
        return found.args[1]
    return []


def test_no_modules_import_each_other_not_even_for_types() -> None:
    graph = grimp.build_graph("tools", "bootstrap", "domains", "shared", cache_dir=None)
    assert circle_in({name: graph.find_modules_directly_imported_by(name) for name in graph.modules}) == []


def test_a_circle_of_modules_is_seen() -> None:
    assert set(circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}})) == {"b", "c"}


def test_each_advisory_lock_has_a_key_of_its_own() -> None:
    keys = [
        ast.literal_eval(line.value)
        for package in PACKAGES
        for path in (PROJECT / package).rglob("*.py")
        for line in ast.parse(path.read_text()).body
        if isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant)
        if isinstance(line.value.value, int) and line.value.value // 1000 == 7_483
    ]
    assert len(keys) == len(set(keys)) == 4
