"""The code as text, and the schemas of params as types: what tests of the whole house ask of both."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

ROOT = Path(__file__).parents[1]
CODE = {"memorability": ROOT / "src" / "memorability", "pipeline": ROOT / "pipeline"}


@cache
def modules() -> dict[str, Path]:
    """Every module of the project by its name, and its file."""
    found = {}
    for package, folder in CODE.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def is_for_types(node: ast.AST) -> bool:
    """Whether a statement is `if TYPE_CHECKING:`, which no run enters."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def within(node: ast.AST, *, for_types: bool) -> Iterator[ast.AST]:
    """As `ast.walk`, with or without what stands there for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        if for_types or not is_for_types(child):
            yield child
            yield from within(child, for_types=for_types)


def imported(node: ast.Import | ast.ImportFrom) -> dict[str, tuple[str, str | None]]:
    """What an import of the project's code binds: the name -> the module, and what of the module (None: all)."""
    bound: dict[str, tuple[str, str | None]] = {}
    for alias in node.names:
        whole = alias.name if isinstance(node, ast.Import) else f"{node.module}.{alias.name}"
        if whole in modules():
            bound[alias.asname or alias.name] = (whole, None)
        elif isinstance(node, ast.ImportFrom) and node.module in modules():
            bound[alias.asname or alias.name] = (node.module, alias.name)
    return bound


@cache
def imports(module: str, *, for_types: bool = True) -> frozenset[str]:
    """The project's modules that a module imports, at any depth of its code."""
    nodes = within(tree(module), for_types=for_types)
    statements = [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
    return frozenset(name for node in statements for name, _ in imported(node).values())


Name = tuple[str, str | None]  # a module, and a name of its top level; None: no name in particular


@cache
def definitions(module: str) -> tuple[dict[str, ast.stmt], dict[str, Name]]:
    """The names of a module's top level: those it defines, with their statements, and those it imports."""
    own: dict[str, ast.stmt] = {}
    bound: dict[str, Name] = {}
    for node in tree(module).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            bound |= imported(node)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            own[node.name] = node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            own |= {target.id: node for target in targets if isinstance(target, ast.Name)}
    return own, bound


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """A statement's nodes without its annotations, which no run evaluates."""
    yield node
    for field, value in ast.iter_fields(node):
        if field not in ("annotation", "returns"):
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, ast.AST):
                    yield from _run(inner)


def _used(module: str, name: str | None) -> Iterator[Name]:
    """The names of the project's code that the definition of a name uses."""
    own, bound = definitions(module)
    if name in bound:
        yield bound[name]
    nodes = list(_run(own[name])) if name in own else []
    for node in nodes:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            bound = bound | imported(node)
    for node in nodes:
        if isinstance(node, ast.Name) and (node.id in own or node.id in bound):
            yield bound.get(node.id, (module, node.id))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner, inner = bound.get(node.value.id, (module, node.value.id))
            if inner is None:
                yield owner, node.attr


def reached(start: set[Name]) -> set[str]:
    """The modules of all that is used, directly or not, by these names of modules."""
    seen, todo = set(start), list(start)
    while todo:
        new = set(_used(*todo.pop())) - seen
        seen |= new
        todo += new
    return {module for module, _ in seen}


def schemas(annotation: Any) -> set[type[BaseModel]]:
    """The schemas in an annotation and, through their fields and bases, below it."""
    found: set[type[BaseModel]] = set()
    todo = [annotation]
    while todo:
        one = todo.pop()
        todo += get_args(one)
        if isinstance(one, type) and issubclass(one, BaseModel) and one is not BaseModel and one not in found:
            found.add(one)
            todo += [*one.__bases__, *(field.annotation for field in one.model_fields.values())]
    return found
