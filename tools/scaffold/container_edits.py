"""Edits of container modules: one statement in or out, every other line as it was. `ruff format` tidies the rest."""

import ast
from collections.abc import Iterable, Sequence


def with_domain(source: str, *, name: str, container: str, given: Sequence[str]) -> str:
    """Return the composition root with one more domain, at its end; `given` are keywords, `users=users.lookup`."""
    entry = f"    {name} = providers.Container({', '.join([container, 'core=core', *given])})\n"
    return with_imports(source + entry, [f"from domains.{name}.container import {container}"])


def without_domain(source: str, *, name: str) -> str:
    """Return the composition root without a domain."""
    imports = [node for node in ast.parse(source).body if _imports_from(node, f"domains.{name}")]
    return _without_lines(source, [*imports, *_assignments(source, name)])


def with_given(source: str, *, name: str, given: Sequence[str]) -> str:
    """Return the composition root with more keywords given to a domain."""
    (entry,) = _assignments(source, name)
    text = ast.get_source_segment(source, entry) or ""
    return source.replace(text, ", ".join([text.rstrip(")").rstrip().rstrip(","), *given]) + ")")


def with_imports(source: str, imports: Sequence[str]) -> str:
    """Return a module with more imports, after its docstring; ruff sorts them."""
    module = ast.parse(source)
    documented = ast.get_docstring(module) is not None
    return _with_lines(source, module.body[0].end_lineno or 0 if documented else 0, "\n".join(imports))


def with_class(source: str, text: str) -> str:
    """Return a module with one more class, before the others."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    starts = [
        min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        for node in ast.parse(source).body
        if isinstance(node, kinds)
    ]
    return _with_lines(source, starts[0] - 1 if starts else len(source.splitlines()), text)


def with_provider(
    source: str, *, name: str, made: str, imports: Sequence[str] = (), first: bool = False
) -> str:
    """Return a container with one more provider, `name = made`: a dependency after the others, else at the end.

    `first`: directly after the dependencies, because other providers may need it.
    """
    container = _container_in(source)
    dependencies = [part for part in container.body if "providers.Depend" in ast.unparse(part)]
    before = dependencies or container.body[:1] if first or ":" in name else container.body
    return with_imports(_with_lines(source, before[-1].end_lineno or 0, f"    {name} = {made}"), imports)


def has_provider(source: str, name: str) -> bool:
    """Return whether a container has a provider of this name."""
    return bool(_assignments(source, name))


def _container_in(source: str) -> ast.ClassDef:
    return [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)][-1]


def _assignments(source: str, name: str) -> list[ast.stmt]:
    """Return the statements of a module's last class that assign a name."""
    return [
        part
        for part in _container_in(source).body
        if isinstance(part, ast.Assign | ast.AnnAssign)
        and ast.unparse(part.targets[0] if isinstance(part, ast.Assign) else part.target) == name
    ]


def _imports_from(node: ast.stmt, package: str) -> bool:
    return isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{package}.")


def _with_lines(source: str, at: int, text: str) -> str:
    lines = source.splitlines()
    return "\n".join([*lines[:at], text, *lines[at:]]) + "\n"


def _without_lines(source: str, nodes: Iterable[ast.stmt]) -> str:
    gone = {line for node in nodes for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    kept = [line for at, line in enumerate(source.splitlines(), 1) if at not in gone]
    return "\n".join(kept) + "\n"
