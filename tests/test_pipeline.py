"""The whole road on a tiny demo, with DVC, in a clone of its own: run, no-op, experiment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from repository import MODELS, copy, run


@pytest.fixture(scope="module")
def clone(road: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This file's own copy of the tiny repository, after `dvc repro`."""
    return copy(road, tmp_path_factory.mktemp("pipeline") / "clone")


def test_every_model_has_its_outputs(clone: Path) -> None:
    for name in MODELS:
        assert (clone / "models" / name / "model.safetensors").is_file()
        assert (clone / f"plots/figures/images/{name}/density.pdf").is_file()
        report = json.loads((clone / f"metrics/images/{name}.json").read_text())
        assert set(report) == {"train", "val", "test"}
    assert json.loads((clone / "metrics/images/mean.json").read_text())["test"]["spearman"] is None
    board = (clone / "metrics/compare/images.leaderboard.csv").read_text()
    assert all(name in board for name in MODELS)


def test_git_holds_metrics_and_no_data(clone: Path) -> None:
    files = run(clone, "git", "ls-files").splitlines()
    assert "metrics/summary.json" in files
    assert "data/splits/images.ids.csv" in files
    assert not [f for f in files if f.startswith(("data/raw", "data/features", "data/predictions"))]
    assert [f for f in files if f.startswith("models/")] == ["models/backbones/none/config.json"]
    assert max((clone / f).stat().st_size for f in files) < 2**20


def test_running_again_does_nothing(clone: Path) -> None:
    assert "Running stage" not in run(clone, "dvc", "repro")


def test_an_experiment_overrides_every_learning_rate_at_top_level(clone: Path) -> None:
    output = run(clone, "dvc", "exp", "run", "-S", "lr=0.00003", "--name", "slow", "train")
    assert "Running stage 'train@resmem'" in output
    assert "Running stage 'features" not in output
    history = (clone / "data/history/resmem/history.csv").read_text().splitlines()
    assert float(history[1].split(",")[1]) == pytest.approx(3e-5)
    shown = run(clone, "dvc", "exp", "show", "--csv")
    assert "slow" in shown
    run(clone, "git", "checkout", "-q", ".")
    run(clone, "dvc", "checkout", "-q")


def test_an_unknown_key_stops_a_stage_before_it_writes(clone: Path) -> None:
    params = clone / "params.yaml"
    kept = params.read_text()
    params.write_text(kept.replace("epochs: 2", "epoks: 2"))
    output = run(clone, "dvc", "repro", "train@resmem", check=False)
    params.write_text(kept)
    assert "models.resmem.epoks: unknown key" in output
    run(clone, "dvc", "checkout", "-q")
    assert (clone / "models/resmem/model.safetensors").is_file()
