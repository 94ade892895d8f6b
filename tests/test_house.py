"""The rooms of the house: imports go one way, and only core/layout.py knows where things lie in a project."""

from __future__ import annotations

import ast

import pytest
from sources import imports, modules, tree

# From the ground up: the modules of a room import each other and those of the floors below; rooms of one floor do not
# know each other. `params` has a floor of its own, because experiments start from params; the package itself
# (`memorability`) re-exports Predictor. What is imported within functions, or for type checkers alone, counts too.
FLOORS = (
    "core", "media", "data", "features", "training evaluation", "families", "params", "predict experiments",
    "explain bench", "web", "cli pipeline memorability",
)  # fmt: skip
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}

LAYOUT = "memorability.core.layout"
PLACES = {"data", "models", "metrics", "plots", ".states", "logs"}


def room(module: str) -> str:
    package, *inner = module.split(".")
    return inner[0] if inner and package == "memorability" else package


def test_every_room_has_a_floor() -> None:
    assert {room(module) for module in modules()} == set(FLOOR)


@pytest.mark.parametrize("name", FLOOR)
def test_imports_go_one_way(name: str) -> None:
    arrows = [(one, other) for one in modules() if room(one) == name for other in imports(one)]
    assert [pair for pair in arrows if room(pair[1]) != name and FLOOR[room(pair[1])] >= FLOOR[name]] == []


def test_only_the_layout_knows_where_things_lie() -> None:
    found = []
    for module in set(modules()) - {LAYOUT}:
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Path":
                first = [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
                found += [f"{module}: {path}" for path in first if str(path).split("/")[0] in PLACES]
    assert found == []
