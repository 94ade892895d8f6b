"""dvc.yaml against the code: every stage depends on the modules whose edit would change its output."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())

OF_BLOCK = {"train": "models", "evaluate": "models", "compare": "split"}  # of stages not named like theirs

# Modules that cannot change what a stage writes, and why. The search does not go through them.
EXEMPT = {
    "memorability": "re-exports one name",
    "memorability.core.errors": "texts of errors",
    "memorability.core.progress": "what a terminal shows",
    "memorability.data.archives": "what they unpack is checked before",
    "memorability.core.distributed": "who computes, not what",
    "memorability.data.downloads": "what they bring is checked by its hash",
    "memorability.core.files": "how files are written, not what",
    "memorability.core.parallel": "when something is computed, not what",
    "memorability.core.states": "how work that was stopped goes on; it has the code in its key",
    "memorability.params": "reading of params: the values are params of the stage (defaults: see below)",
    "pipeline": "no code",
    "pipeline.common": "paths and start-up",
}


def source(module: str) -> Path | None:
    base = ROOT / ("src" if module.startswith("memorability") else "") / Path(*module.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def imports(path: Path) -> set[str]:
    """Project modules that a file imports, at any depth of its code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.split(".")[0] in ("memorability", "pipeline") and source(name)}


def closure(*start: Path) -> set[Path]:
    seen, todo = set(start), list(start)
    while todo:
        for name in imports(todo.pop()):
            path = source(name)
            if name not in EXEMPT and path is not None and path not in seen:
                seen.add(path)
                todo.append(path)
    return seen


def body(stage: str) -> dict[str, Any]:
    return STAGES[stage].get("do", STAGES[stage])


def covered(path: Path, deps: list[str]) -> bool:
    return any(path == ROOT / dep or (ROOT / dep) in path.parents for dep in deps)


def missing(stage: str, needed: set[Path], deps: list[str]) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in needed if not covered(path, deps))


@pytest.mark.parametrize("stage", STAGES)
def test_dependencies_cover_the_imported_modules(stage: str) -> None:
    found_by_name = ROOT.glob("src/memorability/datasets/*.py") if stage == "acquire" else []
    needed = closure(ROOT / "pipeline" / f"{stage}.py", *found_by_name)
    assert missing(stage, needed, body(stage)["deps"]) == []


@pytest.mark.parametrize("model", PARAMS["models"])
def test_training_depends_on_all_that_its_family_imports(model: str) -> None:
    name = PARAMS["models"][model]["family"]
    deps = [d.replace("${item.family}", name) for d in body("train")["deps"]]
    assert missing("train", closure(ROOT / f"src/memorability/families/{name}.py"), deps) == []


@pytest.mark.parametrize("stage", ["backbones", "train"])
def test_stages_with_defaults_in_params_depend_on_them(stage: str) -> None:
    assert "src/memorability/params.py" in body(stage)["deps"]


@pytest.mark.parametrize("stage", STAGES)
def test_commands_run_the_module_of_the_same_name(stage: str) -> None:
    assert body(stage)["cmd"].split()[:3] == ["python", "-m", f"pipeline.{stage}"]


def test_every_dependency_on_code_exists() -> None:
    code = [d for stage in STAGES for d in body(stage)["deps"] if d.startswith(("src/", "pipeline/"))]
    assert [d for d in code if "${" not in d and not (ROOT / d).exists()] == []


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_runs_once_for_each_entry_of_a_block_of_the_params(stage: str) -> None:
    block = STAGES[stage]["foreach"].removeprefix("${").removesuffix("}")
    assert block == OF_BLOCK.get(stage, stage)
    assert body(stage)["cmd"].endswith(" ${key}")
