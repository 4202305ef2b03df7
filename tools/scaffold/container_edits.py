"""Edits of the map and of containers: one statement in, one out, the rest as it was."""

from collections.abc import Sequence

import libcst


def with_domain(source: str, *, name: str, container: str, given: Sequence[str]) -> str:
    """Return the map's text with one more domain, in the highest rank; `given` are keywords, `clock=clock`."""
    module = libcst.parse_module(source)
    imported = libcst.parse_statement(f"from domains.{name}.container import {container}\n")
    entry = libcst.parse_statement(f"{name} = Container({container}, {', '.join(given)},)\n")
    body = list(module.body)
    body.insert(1 + max(at for at, line in enumerate(body) if _imports_from(line, "domains")), imported)
    return module.with_changes(body=[_appended(line, "TulouContainer", entry) for line in body]).code


def without_domain(source: str, *, name: str) -> str:
    """Return the map's text without a domain."""
    module = libcst.parse_module(source)
    kept = [line for line in module.body if not _imports_from(line, f"domains.{name}")]
    return module.with_changes(body=[_without(line, name) for line in kept]).code


def with_given(source: str, *, name: str, given: Sequence[str]) -> str:
    """Return the map's text with more keywords given to a domain."""
    if not given:
        return source

    class Giver(libcst.CSTTransformer):
        def leave_Assign(self, original_node: libcst.Assign, updated_node: libcst.Assign) -> libcst.Assign:  # noqa: N802  # libcst's name
            if not _is_named(original_node.targets[0].target, name) or not isinstance(
                updated_node.value, libcst.Call
            ):
                return updated_node
            more = libcst.ensure_type(libcst.parse_expression(f"f({', '.join(given)},)"), libcst.Call).args
            call = updated_node.value.with_changes(args=[*updated_node.value.args, *more])
            return updated_node.with_changes(value=call)

    return libcst.parse_module(source).visit(Giver()).code


def with_imports(source: str, imports: Sequence[str]) -> str:
    """Return a module's text with more imports, behind its docstring; ruff puts them into order."""
    module = libcst.parse_module(source)
    body = list(module.body)
    at = 1 if body and module.get_docstring() is not None else 0
    body[at:at] = [libcst.parse_statement(f"{line}\n") for line in imports]
    return module.with_changes(body=body).code


def with_class(source: str, text: str) -> str:
    """Return a module's text with one more class, before the others."""
    module = libcst.parse_module(source)
    kinds = (libcst.ClassDef, libcst.FunctionDef)
    at = next((place for place, line in enumerate(module.body) if isinstance(line, kinds)), len(module.body))
    new = libcst.parse_module(text).body
    return module.with_changes(body=[*module.body[:at], *new, *module.body[at:]]).code


def with_provider(
    source: str, *, name: str, made: str, imports: Sequence[str] = (), first: bool = False
) -> str:
    """Return a container's text with one more provider, `name = made`: dependencies first, the others last.

    `first`: behind the dependencies too, for others may need it.
    """
    module = libcst.parse_module(with_imports(source, imports))
    entry = libcst.parse_statement(f"{name} = {made}\n")
    classes = [line.name.value for line in module.body if isinstance(line, libcst.ClassDef)]
    put = _prepended if first or ":" in name else _appended
    return module.with_changes(body=[put(line, classes[-1], entry) for line in module.body]).code


def has_provider(source: str, name: str) -> bool:
    """Tell whether a container has a provider of this name."""
    classes = [line for line in libcst.parse_module(source).body if isinstance(line, libcst.ClassDef)]
    return any(_assigns(line, name) for line in classes[-1].body.body)


def _appended(line: libcst.CSTNode, class_name: str, entry: libcst.CSTNode) -> libcst.CSTNode:
    if not (isinstance(line, libcst.ClassDef) and line.name.value == class_name):
        return line
    return line.with_changes(body=line.body.with_changes(body=[*line.body.body, entry]))


def _prepended(line: libcst.CSTNode, class_name: str, entry: libcst.CSTNode) -> libcst.CSTNode:
    """Put it behind the last dependency."""
    if not (isinstance(line, libcst.ClassDef) and line.name.value == class_name):
        return line
    parts = list(line.body.body)
    code = [libcst.Module([]).code_for_node(part) for part in parts]
    at = 1 + max((place for place, text in enumerate(code) if "Dependency(" in text), default=0)
    return line.with_changes(body=line.body.with_changes(body=[*parts[:at], entry, *parts[at:]]))


def _is_named(target: libcst.BaseExpression, name: str) -> bool:
    return isinstance(target, libcst.Name) and target.value == name


def _without(line: libcst.CSTNode, name: str) -> libcst.CSTNode:
    if not isinstance(line, libcst.ClassDef):
        return line
    kept = [part for part in line.body.body if not _assigns(part, name)]
    return line.with_changes(body=line.body.with_changes(body=kept))


def _assigns(line: libcst.CSTNode, name: str) -> bool:
    if not isinstance(line, libcst.SimpleStatementLine):
        return False
    for part in line.body:
        targets = [part.target] if isinstance(part, libcst.AnnAssign) else []
        targets += [target.target for target in part.targets] if isinstance(part, libcst.Assign) else []
        if any(_is_named(target, name) for target in targets):
            return True
    return False


def _imports_from(line: libcst.CSTNode, package: str) -> bool:
    if not isinstance(line, libcst.SimpleStatementLine):
        return False
    first = line.body[0]
    if not isinstance(first, libcst.ImportFrom) or first.module is None:
        return False
    origin = libcst.Module([]).code_for_node(first.module)
    return not package or origin == package or origin.startswith(f"{package}.")
