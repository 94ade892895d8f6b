"""dvc.yaml against the code: each stage runs its module, and depends on its code and on the params that it reads.

Which code a stage runs, the plan says: tests/experiments/test_plan.py.
"""

from __future__ import annotations

import ast
from typing import Any

import pytest
import yaml
from sources import ROOT, imports, tree

from memorability import params
from memorability.experiments import plan, start

STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
BLOCKS = [name for name in STAGES if name != "plan"]  # run once for each entry of a block of the params
MODULE = {"ensemble": "train"}  # of stages that run another's
BLOCK = {"train": "models", "ensemble": "ensembles"}  # of stages that are not named like theirs
# Params that a stage's code reads, and its `params` need not name.
NO_PARAM = {
    "acquire": {"threads"},  # how fast, not what
    "train": {"backbones", "ensembles", "features", "frames"},  # which names there are, of which track
    # A closed form draws nothing, is not compiled and has no learning rate.
    "ensemble": {
        *("seed", "precision", "compile", "lr", "epochs", "batch_size"),
        *("backbones", "models", "features", "frames"),
    },
    "evaluate": {"models", "ensembles"},  # those of the track are in the plan's TRACK.models
}


def body(stage: str) -> dict[str, Any]:
    return STAGES[stage].get("do", STAGES[stage])


@pytest.mark.parametrize("stage", BLOCKS)
def test_a_stage_runs_its_module_for_each_entry_of_its_block(stage: str) -> None:
    module, block = MODULE.get(stage, stage), BLOCK.get(stage, stage)
    assert body(stage)["cmd"] == f"python -m pipeline.{module} ${{key}}"
    assert (ROOT / "pipeline" / f"{module}.py").is_file()
    assert STAGES[stage]["foreach"] == f"${{{block}}}"
    assert f"{block}.${{key}}" in body(stage)["params"]


@pytest.mark.parametrize("stage", BLOCKS)
def test_a_stage_depends_on_the_plan_of_its_code(stage: str) -> None:
    planned = stage if stage in plan.STAGES else "${key}"
    assert [dep for dep in body(stage)["deps"] if dep.endswith(".code")] == [f"data/plan/{planned}.code"]
    assert not [dep for dep in body(stage)["deps"] if dep.startswith(("src", "pipeline"))]


def test_the_plan_is_made_anew_whenever_code_or_params_change() -> None:
    """And before anything else, so that it checks all params before DVC removes the outputs of another stage."""
    assert STAGES["plan"]["cmd"] == "python -m pipeline.plan"
    assert STAGES["plan"]["deps"] == ["params.yaml", "pipeline", "src/memorability"]
    assert "data/plan" in STAGES["plan"]["outs"]


def test_an_evaluation_depends_on_which_models_there_are() -> None:
    assert "data/plan/${key}.models" in body("evaluate")["deps"]


# Params


def read_of(owner: str, node: ast.AST) -> set[str]:
    """The fields of Params that some code reads of the variable `owner`, by its methods too."""
    methods = {f.name: f for f in ast.walk(tree("memorability.params")) if isinstance(f, ast.FunctionDef)}
    found: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and inner.id == "OVERRIDES":
            found |= set(params.OVERRIDES)
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id == owner:
            if inner.attr in params.Params.model_fields:
                found.add(inner.attr)
            elif inner.attr in methods:
                found |= read_of("self", methods[inner.attr])
    return found


@pytest.mark.parametrize("stage", BLOCKS)
def test_a_stage_names_the_params_that_it_reads(stage: str) -> None:
    entry = f"pipeline.{MODULE.get(stage, stage)}"
    code = [entry, *imports(entry) & {"memorability.experiments.train"}]
    read = {field for module in code for field in read_of("params", tree(module))}
    named = {key.split(".")[0] for key in body(stage)["params"]}
    assert read - named - NO_PARAM.get(stage, set()) == set()


@pytest.mark.parametrize("stage", BLOCKS)
def test_what_depends_on_the_number_of_threads_depends_on_the_kernels_too(stage: str) -> None:
    named = body(stage)["params"]
    assert ("threads" in named) == ("kernels" in named)


def test_the_lock_has_the_stages_of_the_committed_params_and_no_others() -> None:
    """DVC leaves entries of stages that are gone, and reads and writes them after every other."""
    locked = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    assert set(locked) == set(start.stage_names(params.load(ROOT / "params.yaml"), ROOT / "dvc.yaml"))
