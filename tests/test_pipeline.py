"""The whole road on a tiny demo, with DVC, in a clone of its own: run, no-op, experiment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from repository import MODELS, copy, ran, run
from safetensors.numpy import load_file

from memorability.data.tables import TARGETS

MEMBERS = ("ridge_short", "time_distributed_short")
NOT_IN_GIT = ("raw", "frames", "features", "predictions", "history")


@pytest.fixture(scope="module")
def clone(road: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This file's own copy of the tiny repository, after `dvc repro`."""
    return copy(road, tmp_path_factory.mktemp("pipeline") / "clone")


def test_every_model_has_its_outputs(clone: Path) -> None:
    for track, name in ((track, name) for track, names in MODELS.items() for name in names):
        assert (clone / "models" / name / "model.safetensors").is_file()
        assert (clone / f"plots/figures/{track}/{name}/density.pdf").is_file()
        report = json.loads((clone / f"metrics/{track}/{name}.json").read_text())
        assert tuple(report) == TARGETS[track]
        assert all({"train", "val", "test"} <= set(splits) for splits in report.values())
    assert json.loads((clone / "metrics/images/mean.json").read_text())["score"]["test"]["spearman"] is None


def test_every_target_has_a_leaderboard_of_all_models_of_its_track(clone: Path) -> None:
    for track, targets in TARGETS.items():
        summary = json.loads((clone / f"metrics/{track}.json").read_text())
        for target in targets:
            board = (clone / f"metrics/compare/{track}/{target}.leaderboard.csv").read_text().splitlines()
            assert {line.split(",")[0] for line in board[1:]} == set(MODELS[track])
            assert (clone / f"plots/figures/compare/{track}/{target}/models.png").is_file()
            named = track if len(targets) == 1 else f"{track}.{target}"
            measure = "test_cc" if track == "maps" else "test_spearman"
            assert all(f"{named}.{name}.{measure}" in summary for name in MODELS[track])


def test_a_model_of_level_1_has_the_predictions_of_its_members(clone: Path) -> None:
    level = clone / "data/predictions/videos"
    assert {path.stem for path in (level / "1").iterdir()} == {"ensemble_short"}
    assert {path.stem for path in (level / "0").iterdir()} == set(MODELS["videos"]) - {"ensemble_short"}
    weight = load_file(clone / "models/ensemble_short/model.safetensors")["weight"]
    members = [pd.read_csv(level / "0" / name / "predictions.csv")["prediction"] for name in MEMBERS]
    found = pd.read_csv(level / "1" / "ensemble_short" / "predictions.csv")["prediction"]
    np.testing.assert_allclose(found, np.stack(members, axis=1) @ weight)


def test_a_clip_is_scored_from_its_file(clone: Path, tmp_path: Path) -> None:
    index = pd.read_csv(clone / "data/raw/videos/index.csv").iloc[5]
    with (clone / "data/raw/videos" / index["shard"]).open("rb") as shard:
        shard.seek(index["offset"])
        (tmp_path / "clip.webm").write_bytes(shard.read(index["size"]))
    command = (sys.executable, "-m", "memorability.cli", "predict", str(tmp_path / "clip.webm"), "--json")
    (found,) = json.loads(run(clone, *command, "--model", "ensemble_short"))
    table = pd.read_csv(clone / "data/predictions/videos/1/ensemble_short/predictions.csv").set_index("id")
    assert found["score"] == pytest.approx(table["prediction"][index["id"]], abs=1e-5)


def test_a_picture_has_a_map_from_its_file(clone: Path, tmp_path: Path) -> None:
    index = pd.read_csv(clone / "data/raw/maps/index.csv").iloc[3]
    with (clone / "data/raw/maps" / index["shard"]).open("rb") as shard:
        shard.seek(index["offset"])
        (tmp_path / "photo.jpg").write_bytes(shard.read(index["size"]))
    out = tmp_path / "map.png"
    command = (sys.executable, "-m", "memorability.cli", "predict", "--map", str(tmp_path / "photo.jpg"))
    run(clone, *command, "-o", str(out), "--model", "pix2pix")
    with Image.open(out) as found:
        assert (found.mode, found.size) == ("RGB", (index["width"], index["height"]))


def test_an_ablation_trains_and_compares_its_variants(clone: Path) -> None:
    command = (sys.executable, "-m", "memorability.cli", "ablate")
    run(clone, *command, "verdict")
    to = clone / "metrics/ablations/verdict"
    board = pd.read_csv(to / "map.leaderboard.csv").set_index("model")
    assert set(board.index) == {"patch", "scalar"}
    trained = pd.read_csv(clone / "metrics/compare/maps/map.leaderboard.csv").set_index("model")
    assert board["test_cc"]["patch"] == trained["test_cc"]["pix2pix"]  # as its model's stage trains it
    assert (clone / "plots/figures/ablations/verdict/l1.png").is_file()
    assert not (clone / ".states/ablate-verdict").exists()
    assert "no such ablation; params.yaml has verdict" in run(clone, *command, "skips", check=False)
    run(clone, "git", "clean", "-qfd", "metrics/ablations")


def test_git_holds_metrics_and_no_data(clone: Path) -> None:
    files = run(clone, "git", "ls-files").splitlines()
    assert {f"metrics/{track}.json" for track in TARGETS} <= set(files)
    assert {f"data/splits/{track}.ids.csv" for track in TARGETS} <= set(files)
    assert not [f for f in files if f.startswith(tuple(f"data/{name}" for name in NOT_IN_GIT))]
    assert [f for f in files if f.startswith("models/")] == ["models/none/config.json"]
    assert max((clone / f).stat().st_size for f in files) < 2**20


def test_running_again_does_nothing(clone: Path) -> None:
    assert "Running stage" not in run(clone, "dvc", "repro")


def test_an_experiment_overrides_every_learning_rate_at_top_level(clone: Path) -> None:
    trained = ("resmem", "time_distributed_short")
    stages = [f"train@{name}" for name in trained]
    output = run(clone, "dvc", "exp", "run", "-S", "lr=0.00003", "--name", "slow", *stages)
    assert set(ran(output)) == set(stages)
    for name in trained:
        history = pd.read_csv(clone / f"data/history/{name}/history.csv")
        assert history["lr"][0] == pytest.approx(3e-5)
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
