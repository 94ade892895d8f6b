"""The whole road on a tiny demo, with DVC, in a clone of its own: run, no-op, edits, experiments, own pictures."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from repository import ENSEMBLE, FEATURES, MODELS, ON_BOARD, commit, copy, edit_params, memorability, ran, run
from safetensors.numpy import load_file

from memorability.core import layout
from memorability.data.tables import TARGETS

NOT_IN_GIT = (
    "data/raw",
    "data/frames",
    "data/features",
    "data/predictions",
    "data/cards",
    "data/plan",
    "models/",
)
TRAINED = {"train@resmem", "train@pix2pix"}  # by gradients
TRAIN = {f"train@{name}" for names in MODELS.values() for name in names}
BY_TRACK = {stage: {f"{stage}@{track}" for track in TARGETS} for stage in ("acquire", "evaluate")}
OF_FEATURES = {f"features@{name}" for name in FEATURES}
# What `dvc status` says in one process, after each of some edits of params.yaml, without that of another.
STATUS = """
import json, sys
from pathlib import Path
from dvc.repo import Repo

params = Path("params.yaml")
kept, found = params.read_text(), {}
for name, text in json.loads(Path(sys.argv[1]).read_text()).items():
    params.write_text(text)
    found[name] = sorted(Repo().status())
params.write_text(kept)
print(json.dumps(found))
"""
# Several commands of the user in one process.
EACH = """
import json, sys
from memorability.cli import main

for command in json.loads(sys.argv[1]):
    sys.argv[1:] = command
    try:
        main()
    except SystemExit as end:
        print(end.code)
"""


@pytest.fixture(scope="module")
def clone(road: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This file's own copy of the tiny repository, after `dvc repro`."""
    return copy(road, tmp_path_factory.mktemp("pipeline") / "clone")


@pytest.fixture
def changing(clone: Path) -> Iterator[Path]:
    """The same, put back as it was committed after a test that changes it."""
    yield clone
    run(clone, "git", "checkout", "-q", ".")
    run(clone, "dvc", "checkout", "-q")


def of(clone: Path, track: str, name: str) -> Path:
    """The folder of a model's predictions."""
    return clone / layout.predictions(track, name, ensemble=name == ENSEMBLE)


# What one `dvc repro` leaves


def test_every_model_has_its_outputs(clone: Path) -> None:
    for track, name in ((track, name) for track, names in ON_BOARD.items() for name in names):
        assert (clone / "models" / name / "model.safetensors").is_file()
        files = {"predictions.csv", "history.csv", "model.json"} | (
            {"maps.npy"} if track == "maps" else set()
        )
        assert {path.name for path in of(clone, track, name).iterdir()} == files
        assert list((clone / "plots/figures" / track / name).iterdir())
        assert (clone / "data/cards" / track / f"{name}.md").read_text().startswith(f"# {name}\n")
        report = json.loads((clone / f"metrics/{track}/{name}.json").read_text())
        assert tuple(report) == TARGETS[track]
        assert all({"train", "val", "test"} <= set(splits) for splits in report.values())
    assert json.loads((clone / "metrics/images/mean.json").read_text())["score"]["test"]["spearman"] is None


def test_every_target_has_a_board_of_all_models_of_its_track(clone: Path) -> None:
    for track, targets in TARGETS.items():
        assert set(ON_BOARD[track]) <= set(json.loads((clone / f"metrics/{track}.json").read_text()))
        for target in targets:
            board = pd.read_csv(clone / f"metrics/{track}/{target}.leaderboard.csv")
            assert set(board["model"]) == set(ON_BOARD[track])
            assert (clone / f"metrics/{track}/{target}.txt").is_file()
            assert list((clone / "plots/figures" / track / target).iterdir())


def test_an_ensemble_has_the_predictions_of_its_members(clone: Path) -> None:
    weight = load_file(clone / f"models/{ENSEMBLE}/model.safetensors")["weight"]
    tables = [pd.read_csv(of(clone, "videos", name) / "predictions.csv") for name in MODELS["videos"]]
    members = np.stack([table["prediction"] for table in tables], axis=1)
    found = pd.read_csv(of(clone, "videos", ENSEMBLE) / "predictions.csv")["prediction"]
    np.testing.assert_allclose(found, members @ weight)


def unpacked(clone: Path, track: str, row: int, to: Path) -> pd.Series[Any]:
    """Writes the file of a row of the raw index, as it was packed; returns the row."""
    index: pd.Series[Any] = pd.read_csv(clone / f"data/raw/{track}/index.csv").iloc[row]
    with (clone / f"data/raw/{track}" / index["shard"]).open("rb") as shard:
        shard.seek(index["offset"])
        to.write_bytes(shard.read(index["size"]))
    return index


def test_a_clip_is_scored_from_its_file(clone: Path, tmp_path: Path) -> None:
    index = unpacked(clone, "videos", 5, tmp_path / "clip.webm")
    output = memorability(clone, "predict", str(tmp_path / "clip.webm"), "--json", "--model", ENSEMBLE)
    ((found,), _) = json.JSONDecoder().raw_decode(output[output.index("[\n") :])
    assert "its scores mean nothing for photographs" in output  # a note beside them, on standard error
    table = pd.read_csv(of(clone, "videos", ENSEMBLE) / "predictions.csv").set_index("id")
    assert found["score"] == pytest.approx(table["prediction"][index["id"]], abs=1e-5)


def test_a_picture_has_a_map_from_its_file(clone: Path, tmp_path: Path) -> None:
    index, out = unpacked(clone, "maps", 3, tmp_path / "photo.jpg"), tmp_path / "map.png"
    memorability(clone, "predict", "--map", str(tmp_path / "photo.jpg"), "-o", str(out), "--model", "pix2pix")
    with Image.open(out) as found:
        assert (found.mode, found.size) == ("RGB", (index["width"], index["height"]))


def test_git_holds_metrics_and_no_data(clone: Path) -> None:
    files = run(clone, "git", "ls-files").splitlines()
    assert {f"metrics/{track}.json" for track in TARGETS} <= set(files)
    assert {f"data/splits/{track}.ids.csv" for track in TARGETS} <= set(files)
    assert [file for file in files if file.startswith(NOT_IN_GIT)] == []
    assert max((clone / file).stat().st_size for file in files) < 2**20


def test_running_again_does_nothing_though_python_has_cached_the_code(clone: Path) -> None:
    assert list((clone / "src").rglob("__pycache__/*.pyc"))
    assert "Running stage" not in run(clone, "dvc", "repro")


# What goes stale


def test_a_param_of_each_kind_of_block_makes_its_own_stage_stale(clone: Path, tmp_path: Path) -> None:
    changes: dict[str, tuple[Any, set[str]]] = {
        "acquire__images__demo__responses": (79, {"acquire@images"}),
        "frames__demo_videos__quality": (3, {"frames@demo_videos"}),
        "split__maps__val": (0.2, {"split@maps"}),
        "backbones__demo_resnet18__demo__epochs": (2, {"backbones@demo_resnet18"}),
        "features__demo_maps_places__pixels": (72, {"features@demo_maps_places"}),
        "models__ridge__alphas": ([3.0], {"train@ridge"}),
        "models__pix2pix__pixels": (96, {"train@pix2pix"}),
        "models__pix2pix__discriminator__width": (8, {"train@pix2pix"}),
        "ensembles__ensemble_short__weights": ("equal", {f"ensemble@{ENSEMBLE}"}),
        "evaluate__maps__halves": (6, {"evaluate@maps"}),
        "lr": (0.01, TRAIN),
        "threads": (
            1,
            {"backbones@demo_resnet18", f"ensemble@{ENSEMBLE}"} | OF_FEATURES | TRAIN | BY_TRACK["evaluate"],
        ),
        "seed": (1, {"backbones@demo_resnet18"} | BY_TRACK["acquire"] | TRAIN | BY_TRACK["evaluate"]),
    }
    kept, texts = (clone / "params.yaml").read_text(), {}
    for name, (value, _) in changes.items():
        edit_params(clone, **{name: value})
        texts[name] = (clone / "params.yaml").read_text()
        (clone / "params.yaml").write_text(kept)
    edits = tmp_path / "edits.json"
    edits.write_text(json.dumps(texts))
    found = json.loads(run(clone, sys.executable, "-c", STATUS, str(edits)).splitlines()[-1])
    assert {name: set(stages) for name, stages in found.items()} == {
        name: {"plan"} | stages for name, (_, stages) in changes.items()
    }


def test_the_edit_of_a_family_retrains_it_alone(changing: Path) -> None:
    with (changing / "src/memorability/families/place_ridge.py").open("a") as stream:
        stream.write("ANOTHER = 1\n")
    assert ran(run(changing, "dvc", "repro")) == ["plan", "train@ridge_map"]


def test_the_edit_of_a_comment_retrains_nothing(changing: Path) -> None:
    with (changing / "src/memorability/training/loop.py").open("a") as stream:
        stream.write("\n# another comment\n")
    assert ran(run(changing, "dvc", "repro")) == ["plan"]


def test_the_edit_of_a_figure_retrains_nothing(changing: Path) -> None:
    with (changing / "src/memorability/evaluation/score_figures.py").open("a") as stream:
        stream.write("ANOTHER = 1\n")
    run(changing, "dvc", "repro", "plan")
    stale = json.loads(run(changing, "dvc", "status", "--json"))
    assert set(stale) == BY_TRACK["evaluate"]


def test_a_model_that_params_do_not_name_is_gone_from_its_track(changing: Path) -> None:
    edit_params(changing, models__resmem=None)
    assert ran(run(changing, "dvc", "repro")) == ["plan", "evaluate@images"]
    predicted = "data/predictions/images/models/resmem"
    for left in ("metrics/images/resmem.json", "plots/figures/images/resmem", predicted):
        assert not (changing / left).exists()
    assert "resmem" not in json.loads((changing / "metrics/images.json").read_text())
    assert "resmem" not in memorability(changing, "leaderboard")


# What stops before anything runs


@pytest.mark.parametrize(
    ("model", "block", "said"),
    [
        ("pix2pix", {"discriminator": {"widht": 4}}, "models.pix2pix.discriminator.widht: unknown key"),
        ("../external/mine", {}, "'../external/mine' is no name"),  # where own data lie
    ],
)
def test_a_wrong_block_stops_before_any_other_stage(
    changing: Path, model: str, block: dict[str, Any], said: str
) -> None:
    kept = changing / "external" / "mine" / "kept.txt"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("of the user")
    models = yaml.safe_load((changing / "params.yaml").read_text())["models"]
    edit_params(changing, **{f"models__{model}": models["pix2pix"] | block})
    output = run(changing, "dvc", "repro", check=False)
    assert said in output
    assert ran(output) == ["plan"]
    assert kept.read_text() == "of the user"
    kept.unlink()


def test_names_on_the_command_line_lead_nowhere(clone: Path) -> None:
    victim = clone.parent / "victim"
    victim.mkdir()
    (victim / "kept.txt").write_text("of the user")
    before = sorted(path.name for path in clone.parent.iterdir())
    names = ("../victim", "../../../victim", str(victim))
    calls = [[command, name] for command in ("crossval", "ablate", "search", "params") for name in names]
    output = run(clone, sys.executable, "-c", EACH, json.dumps(calls))
    assert output.count("memorability: ParamsError: ") == len(calls)
    assert (victim / "kept.txt").read_text() == "of the user"
    assert sorted(path.name for path in clone.parent.iterdir()) == before


# Experiments


def test_an_experiment_overrides_a_rate_and_reads_well(changing: Path) -> None:
    output = run(changing, "dvc", "exp", "run", "-S", "lr=0.00003", "--name", "slow", "evaluate@images")
    # DVC does not know that closed forms have no rate: they run again too, in seconds.
    assert set(ran(output)) == {"plan", "train@mean", "train@ridge", "train@resmem", "evaluate@images"}
    assert pd.read_csv(of(changing, "images", "resmem") / "history.csv")["lr"][0] == pytest.approx(3e-5)
    shown = run(changing, "dvc", "exp", "show", "--csv", "--no-pager").splitlines()
    assert any("slow" in line for line in shown)
    difference = run(changing, "dvc", "metrics", "diff").splitlines()
    assert any("resmem" in line for line in difference)
    assert len(difference) < 20
    run(changing, "dvc", "plots", "diff", "HEAD", "-o", "dvc_plots")


def test_experiments_in_a_folder_of_their_own_and_from_a_queue(changing: Path) -> None:
    # Of the quickest model: DVC runs it too, since it does not know that a mean has no rate.
    run(changing, "dvc", "exp", "run", "--temp", "-S", "lr=0.0003", "--name", "apart", "train@mean")
    run(changing, "dvc", "exp", "run", "--queue", "-S", "lr=0.0004", "--name", "queued", "train@mean")
    run(changing, "dvc", "exp", "run", "--run-all", "-j", "1")
    listed = run(changing, "dvc", "exp", "list", "--name-only").split()
    assert {"apart", "queued"} <= set(listed)


# Commands of their own


def test_an_ablation_trains_and_compares_its_variants(changing: Path) -> None:
    scalar = {"discriminator": {"verdict": "scalar", "width": 4}}
    asked = {"verdict": {"patch": {"model": "pix2pix"}, "scalar": {"model": "pix2pix", "change": scalar}}}
    (changing / "ablations.yaml").write_text(yaml.safe_dump(asked))
    memorability(changing, "ablate", "verdict")
    board = pd.read_csv(changing / "metrics/ablations/verdict/map.leaderboard.csv").set_index("model")
    assert set(board.index) == {"patch", "scalar"}
    trained = pd.read_csv(changing / "metrics/maps/map.leaderboard.csv").set_index("model")
    assert board["test_cc"]["patch"] == trained["test_cc"]["pix2pix"]  # as its model's stage trains it
    assert not (changing / ".states/ablate-verdict").exists()
    assert "no ablation 'skips'; valid: verdict" in memorability(changing, "ablate", "skips", check=False)


# Own pictures


def test_own_pictures_after_the_demo(road: Path, tmp_path: Path) -> None:
    """Of a repository whose last commit has three tracks, one is used: nothing of the others is shown."""
    clone, rng = copy(road, tmp_path / "clone"), np.random.default_rng(0)
    own = clone / "external" / "mine"
    own.mkdir(parents=True)
    for number in range(30):
        noise = rng.integers(0, 255, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((72, 72), Image.Resampling.BICUBIC).save(own / f"{number}.png")
    table = pd.DataFrame({"picture": [f"{i}.png" for i in range(30)], "memorability": rng.random(30)})
    table.to_csv(own / "scores.csv", index=False)
    params = yaml.safe_load((clone / "params.yaml").read_text())
    source = {"root": "external/mine", "csv": "scores.csv", "file": "picture", "score": "memorability"}
    watched = {"watch": "external/mine/scores.csv", "datasets": ["table"], "table": source}
    params |= {
        "acquire": {"images": watched},
        "frames": {},
        "split": {"images": params["split"]["images"]},
        "features": {"demo_images": params["features"]["demo_images"]},
        "models": {name: params["models"][name] for name in ("mean", "ridge")},
        "ensembles": {},
        "evaluate": {"images": params["evaluate"]["images"]},
    }
    (clone / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    assert not [stage for stage in ran(run(clone, "dvc", "repro")) if "video" in stage or "map" in stage]
    shown = memorability(clone, "leaderboard")
    assert "images" in shown
    assert "videos" not in shown
    assert "mean_map" not in shown
    assert not (clone / "metrics/images/resmem.json").exists()
    commit(clone, "own pictures")
    table.assign(memorability=table["memorability"] / 2).to_csv(own / "scores.csv", index=False)
    assert set(json.loads(run(clone, "dvc", "status", "--json"))) == {"acquire@images"}
