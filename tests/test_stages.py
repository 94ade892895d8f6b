"""dvc.yaml against the code: a stage depends on all code that can change what it writes, and on no more of evaluation.

What a stage imports is followed from its entry through everything that is imported, within functions too; a family or
a data set is found by its name.
"""

from __future__ import annotations

import ast
from typing import Any

import pytest
import yaml
from sources import ROOT, imports, modules, reached, schemas, tree

from memorability import families, params
from memorability.data import datasets
from memorability.training import contract
from memorability.training.settings import Model

STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
BLOCKS = [
    name for name in STAGES if "foreach" in STAGES[name]
]  # not `check` and `none`, whose outputs are constant
TRAINING = ("train", "ensemble")

# Imports that are not followed, and why what stands there cannot change what a stage writes.
NOT_FOLLOWED = {
    "memorability": "re-exports one name",
    "memorability.params": "hands each block to its stage as its schema reads it, and the schemas of a stage's blocks "
    "are its dependencies (below); stages in which it does more depend on it (OF_PARAMS)",
    "pipeline.common": "how a stage starts and ends; the threads that it sets are a param of stages whose results "
    "depend on them",
    "memorability.experiments.start": "as pipeline.common",
}
OF_PARAMS = (
    *TRAINING,
    "evaluate",
)  # where top-level values override a model's own, or a track's models are listed
# Training is handed the functions of a judge that `training.contract.Judge` names. What these use is followed by
# name (below), so that the edit of a figure, a board or an interval, which stand beside them, retrains nothing.
JUDGES = {"train": ("scores", "maps"), "ensemble": ("scores",)}

# Params that a stage's code reads, and its `params` need not name.
NO_PARAM = {
    "acquire": {"threads"},  # how fast, not what
    "train": {"backbones", "ensembles"},  # which names there are
    # A closed form draws nothing, is not compiled and has no learning rate.
    "ensemble": {"seed", "precision", "compile", "lr", "epochs", "batch_size", "backbones", "models"},
    "evaluate": {"backbones", "lr", "epochs", "batch_size"},
}


def body(stage: str) -> dict[str, Any]:
    return STAGES[stage].get("do", STAGES[stage])


def entry(stage: str) -> str:
    return body(stage)["cmd"].split()[2]


def closure(start: set[str], *, without: set[str]) -> set[str]:
    """The modules that are run where these are, except those `without` and what only these import."""
    seen, todo = set(start), list(start)
    while todo:
        new = imports(todo.pop(), for_types=False) - seen - without
        seen |= new
        todo += new
    return seen


def judging(stage: str) -> set[str]:
    """The modules of evaluation that can change a model: those that what training is handed uses."""
    handed = [name for name in vars(contract.Judge) if not name.startswith("_")]
    start = {(f"memorability.evaluation.{judge}", name) for judge in JUDGES[stage] for name in handed}
    return {module for module in reached(start) if module.startswith("memorability.evaluation")}


def missing(needed: set[str], deps: list[str]) -> list[str]:
    """The modules with code that no dependency covers."""
    folders = [ROOT / dep for dep in deps]
    paths = {name: modules()[name] for name in needed if has_code(name)}
    return sorted(
        name for name, path in paths.items() if not any(path == d or d in path.parents for d in folders)
    )


def has_code(module: str) -> bool:
    return any(not isinstance(node, ast.Expr) for node in tree(module).body)


def stage_of(family: str) -> str:
    return "ensemble" if family == "ensemble" else "train"


def deps_of(stage: str, family: str = "") -> list[str]:
    return [dep.replace("${item.family}", family) for dep in body(stage)["deps"]]


@pytest.mark.parametrize("stage", BLOCKS)
def test_a_stage_depends_on_the_modules_that_it_runs(stage: str) -> None:
    start, without = {entry(stage)}, set(NOT_FOLLOWED)
    if stage == "acquire":
        start |= {f"memorability.data.datasets.{name}" for name in datasets.names()}
    if stage in TRAINING:
        start |= judging(stage)
        without |= {name for name in modules() if name.startswith("memorability.evaluation")} - start
    needed = closure(start, without=without) | ({"memorability.params"} if stage in OF_PARAMS else set())
    assert missing(needed, deps_of(stage)) == []


@pytest.mark.parametrize("family", families.names())
def test_a_model_depends_on_the_modules_that_its_family_runs(family: str) -> None:
    needed = closure({f"memorability.families.{family}"}, without=set())
    assert missing(needed, deps_of(stage_of(family), family)) == []


@pytest.mark.parametrize("stage", TRAINING)
def test_training_depends_on_nothing_of_evaluation_that_cannot_change_a_model(stage: str) -> None:
    folder = "src/memorability/evaluation"
    files = {str(modules()[name].relative_to(ROOT)) for name in judging(stage)}
    assert {dep for dep in deps_of(stage) if dep.startswith(folder)} == files


# Params


def blocks(stage: str, family: str = "") -> list[Any]:
    """The annotations of the params of a stage: what is checked, and has defaults."""
    names = {key.split(".")[0] for key in body(stage)["params"]}
    found: list[Any] = [params.Params.model_fields[name].annotation for name in names]
    if names & {"models", "ensembles"}:
        found.append(families.load(family).Params if family else Model)
    if "acquire" in names:
        found += [datasets.adapter(name).Params for name in datasets.names()]
    return found


@pytest.mark.parametrize("stage", [stage for stage in BLOCKS if stage not in TRAINING])
def test_a_stage_depends_on_the_defaults_of_its_params(stage: str) -> None:
    assert missing({s.__module__ for b in blocks(stage) for s in schemas(b)}, deps_of(stage)) == []


@pytest.mark.parametrize("family", families.names())
def test_a_model_depends_on_the_defaults_of_its_params(family: str) -> None:
    stage = stage_of(family)
    needed = {schema.__module__ for block in blocks(stage, family) for schema in schemas(block)}
    assert missing(needed, deps_of(stage, family)) == []


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
            elif inner.attr in methods and inner.attr != "check":  # which only refuses
                found |= read_of("self", methods[inner.attr])
    return found


@pytest.mark.parametrize("stage", BLOCKS)
def test_a_stage_names_the_params_that_it_reads(stage: str) -> None:
    code = [
        tree(name)
        for name in (entry(stage), "memorability.experiments.train")
        if name in closure({entry(stage)}, without=set(NOT_FOLLOWED))
    ]
    named = {key.split(".")[0] for key in body(stage)["params"]}
    read = {field for part in code for field in read_of("params", part)}
    assert read - named - NO_PARAM.get(stage, set()) == set()


# The rest of a stage


def test_every_dependency_on_code_exists() -> None:
    code = {dep for stage in BLOCKS for dep in body(stage)["deps"] if dep.startswith(("src/", "pipeline/"))}
    assert [dep for dep in sorted(code) if "${" not in dep and not (ROOT / dep).exists()] == []


@pytest.mark.parametrize("stage", BLOCKS)
def test_a_stage_runs_the_module_of_its_name_for_each_entry_of_its_block(stage: str) -> None:
    module, block = {"train": ("train", "models"), "ensemble": ("train", "ensembles")}.get(
        stage, (stage, stage)
    )
    assert body(stage)["cmd"] == f"python -m pipeline.{module} ${{key}}"
    assert STAGES[stage]["foreach"] == f"${{{block}}}"
    assert f"pipeline/{module}.py" in body(stage)["deps"]
    assert f"{block}.${{key}}" in body(stage)["params"]


def test_params_are_checked_before_anything_runs() -> None:
    """Of the other stages each needs, directly or not, what one of these writes."""
    assert STAGES["check"]["cmd"] == "python -m pipeline.check"
    assert STAGES["check"]["deps"] == ["params.yaml", "pipeline/check.py"]
    for stage in ("acquire", "backbones"):
        assert set(STAGES["check"]["outs"]) <= set(body(stage)["deps"])
