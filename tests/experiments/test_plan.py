"""The plan: the edit of a module makes just those stages stale that run it; a model that comes or goes, its track."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sources import ROOT, modules, reached, schemas

from memorability import families, params
from memorability.data import datasets
from memorability.experiments import plan
from memorability.params import Params
from memorability.training import contract
from memorability.training.settings import Model

PROJECT = params.load(ROOT / "params.yaml")
MODELS = (*PROJECT.models, *PROJECT.ensembles)
# Rooms and modules that no stage runs: what the user's commands alone do, families of profiles alone, and the plan itself.
OF_NO_STAGE = (
    "memorability.predict",
    "memorability.explain",
    "memorability.bench",
    "memorability.web",
    "memorability.cli",
    "memorability.data.urls",
    "memorability.features.picture_statistics",
    "memorability.media.overlay",
    "memorability.evaluation.runs",
    "memorability.evaluation.score_calibration",
    "memorability.families.bag_ridge",
    "memorability.families.finetune",
    "memorability.families.probe",
    "memorability.families.section_scores",
    "pipeline.done",
)
OF_THE_PLAN = ("memorability.experiments", "memorability.core.yaml", "pipeline.plan", "pipeline.plots_page")


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def code() -> dict[str, set[str]]:
    """The modules of each stage and of each model, as the plan lists them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        found = {stage: plan.code_of_stage(stage) for stage in plan.STAGES}
        found |= {name: plan.code_of_model(PROJECT, name) for name in MODELS}
    names = {path: name for name, path in modules().items()}
    return {of: {names[path.resolve()] for path in listed} for of, listed in found.items()}


def of(*families_: str) -> set[str]:
    return {name for name in MODELS if PROJECT.head(name).family in families_}


NETWORKS_OF_MAPS = of("unet", "pix2pix", "wgan", "palette")


@pytest.mark.parametrize(
    ("edited", "stale"),
    [
        ("memorability.core.errors", set()),
        ("memorability.core.progress", set()),
        ("memorability.experiments.crossval", set()),
        ("memorability.predict.predictor", set()),
        ("memorability.core.kernels", {*plan.STAGES, *MODELS}),
        ("memorability.core.distributed", {"backbones", "features", *MODELS}),
        ("memorability.media.pictures", {*plan.STAGES, *MODELS} - {"split"}),
        # The pictures that a model has seen travel with it, and evaluate counts them.
        ("memorability.media.hashes", {*plan.STAGES, *MODELS} - {"backbones", "features"}),
        ("memorability.data.known", {"evaluate", *MODELS}),
        ("memorability.evaluation.conformal", {"evaluate"}),
        ("memorability.data.datasets.demo", {"acquire"}),
        ("memorability.data.downloads", {"acquire", "backbones"}),
        ("memorability.data.scenes", {"acquire", "backbones"}),
        ("memorability.data.settings", {"acquire", "frames", "split"}),
        ("memorability.data.frames", {"frames"}),
        ("memorability.data.splits", {"split"}),
        ("memorability.features.extraction", {"features"}),
        ("memorability.features.settings", {"backbones", "features", "evaluate", *MODELS}),
        ("memorability.features.backbones", {"backbones", "features", "evaluate", *MODELS}),
        ("memorability.features.reads", set(MODELS)),
        ("memorability.training.loop", {"backbones", *MODELS}),
        ("memorability.training.settings", {"backbones", "evaluate", *MODELS}),
        ("memorability.training.trained", set(MODELS)),
        ("memorability.evaluation.settings", {"evaluate"}),
        ("memorability.evaluation.score_figures", {"evaluate"}),
        ("memorability.evaluation.figures", {"evaluate"}),
        ("memorability.evaluation.map_board", {"evaluate"}),
        ("memorability.evaluation.statistics", {"evaluate"}),
        ("memorability.evaluation.score_measures", {"evaluate", *MODELS}),
        ("memorability.evaluation.maps", {"evaluate", *MODELS}),
        ("memorability.params", {"evaluate", *MODELS}),
        ("memorability.experiments.train", set(MODELS)),
        ("memorability.families.ridge", of("ridge")),
        ("memorability.families.memnet", of("memnet", "frame_average")),
        ("memorability.families.ensemble", of("ensemble")),
        ("memorability.families.unet", of("unet")),
        ("memorability.families.blocks.generator", of("unet", "pix2pix", "wgan")),
        ("memorability.families.blocks.adversaries", of("pix2pix", "wgan")),
        ("memorability.families.blocks.map_batches", NETWORKS_OF_MAPS),
        ("pipeline.acquire", {"acquire"}),
        ("pipeline.train", set(MODELS)),
        ("pipeline.evaluate", {"evaluate"}),
    ],
)
def test_the_edit_of_a_module_concerns_what_runs_it(
    code: dict[str, set[str]], edited: str, stale: set[str]
) -> None:
    assert edited in modules()
    assert {name for name, listed in code.items() if edited in listed} == stale


def test_every_module_is_of_some_stage_or_known_to_be_of_none(code: dict[str, set[str]]) -> None:
    unknown = set(modules()) - set.union(*code.values()) - set(plan.EXEMPT)
    assert [name for name in sorted(unknown) if not name.startswith((*OF_NO_STAGE, *OF_THE_PLAN))] == []


def test_what_is_exempt_is_there_and_for_a_reason() -> None:
    assert set(plan.EXEMPT) <= set(modules())
    assert all(plan.EXEMPT.values())


def test_training_runs_of_evaluation_what_it_is_handed_and_no_more() -> None:
    """The judge's functions that `training.contract.Judge` names, and what they use, followed name by name."""
    handed = [name for name in vars(contract.Judge) if not name.startswith("_")]
    judges = ("memorability.evaluation.scores", "memorability.evaluation.maps")
    used = reached({(judge, name) for judge in judges for name in handed})
    used |= reached({("memorability.evaluation", "judge")})
    prefix = "memorability.evaluation"
    assert {name.removeprefix(prefix) for name in used if name.startswith(prefix)} == set(plan.JUDGING)


@pytest.mark.parametrize("stage", plan.STAGES)
def test_the_defaults_of_a_stages_params_are_of_its_code(code: dict[str, set[str]], stage: str) -> None:
    blocks = [Params.model_fields[stage].annotation]
    if stage == "acquire":
        blocks += [datasets.adapter(name).Params for name in datasets.names()]
    if stage == "evaluate":
        blocks.append(Model)
    assert {schema.__module__ for block in blocks for schema in schemas(block)} <= code[stage]


@pytest.mark.parametrize("name", MODELS)
def test_the_defaults_of_a_models_params_are_of_its_code(code: dict[str, set[str]], name: str) -> None:
    family = families.load(PROJECT.head(name).family)
    assert {schema.__module__ for schema in schemas(family.Params)} <= code[name]


# The files


def test_a_plan_has_a_file_for_each_stage_model_and_track() -> None:
    found = plan.plan(PROJECT)
    code = {f"{name}.code" for name in (*plan.STAGES, *MODELS)}
    assert set(found) == code | {f"{track}.models" for track in PROJECT.evaluate}
    for name in code:
        lines = [line.split("  ") for line in found[name].splitlines()]
        assert all(len(digest) == 16 and not Path(path).is_absolute() for digest, path in lines)
    for track in PROJECT.evaluate:
        blocks = json.loads(found[f"{track}.models"])
        assert blocks == {name: PROJECT.block(name) for name in PROJECT.heads(track)}


def test_the_models_of_a_track_change_with_those_alone() -> None:
    before = plan.plan(PROJECT)
    models = {name: block for name, block in PROJECT.models.items() if name != "svr"}
    after = plan.plan(PROJECT.model_copy(update={"models": models}))
    assert {name for name in before if before[name] != after.get(name)} == {"svr.code", "images.models"}


CODE = """import math


def area(radius: float) -> float:
    text = "# no comment"
    return math.pi * radius**2, text
"""
WORDY = '''"""Circles.

Of any size.
"""

import math


def area(radius: float) -> float:  # of a circle
    """Of a circle."""

    # and a text
    text = "# no comment"

    return math.pi * radius**2, text  # both
'''


def test_words_are_no_part_of_the_code_and_all_else_is() -> None:
    assert plan.without_words(WORDY) == plan.without_words(CODE)
    assert plan.without_words(CODE.replace("**2", "**3")) != plan.without_words(CODE)
    assert plan.without_words(CODE.replace("# no", "# a")) != plan.without_words(CODE)
    assert plan.without_words('def f(): "words"\n') == "def f():"
    nested = 'class A:\n    def f(self):\n        """x\n\n        y"""\n        return 1\n'
    assert plan.without_words(nested) == "class A:\n    def f(self):\n        return 1"
