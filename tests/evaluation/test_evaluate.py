"""All models of a track judged in one go: what is written, for scores and for maps; and the stage."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import small_maps
from test_judges import table

from memorability.core.errors import DataError
from memorability.core.files import read_json, write_json
from memorability.data import tables
from memorability.evaluation import scores
from memorability.evaluation.evaluate import Contender, Evaluation, Folders
from memorability.evaluation.settings import Evaluate
from memorability.training import artifacts

SETTINGS = Evaluate(bootstrap=100, halves=2, map_size=small_maps.SIZE)
EPOCHS = pd.DataFrame(
    {
        "epoch": range(3),
        "train_loss": [0.3, 0.2, 0.1],
        "val_mse": [0.3, 0.2, 0.2],
        "val_spearman": [0.1, 0.4, 0.3],
    }
)
ONE = EPOCHS[:1]


def contender(
    root, name, said, *, history=ONE, family="ridge", target="score", more=None, on_val=False, **own
):
    folder = root / "predictions" / name
    rows = scores.for_target(clips() if target != "score" else table(), target)
    scores.write(folder, rows, np.arange(len(rows)), said, more or {})
    tables.write(history, folder / "history.csv")
    return Contender(family, target, folder, {"family": family, "target": target, **own}, on_val)


def clips():
    return table().rename(columns={"score": "short_term"}).assign(
        short_term_responses=40, long_term=lambda t: 0.9 * t["short_term"], long_term_responses=12
    )  # fmt: skip


def said(noise, seed=0):
    return table()["score"].fillna(0.5) + np.random.default_rng(seed).normal(0, noise, 120)


def evaluate(root, contenders, rows, *, track="images", settings=SETTINGS):
    to = Folders(*(root / name for name in ("metrics", "figures", "plots")))
    for folder in to:
        folder.mkdir(parents=True)
    evaluation = Evaluation(track, root / "raw", root / "models", settings, 0, 1, to)
    return evaluation.run(contenders, rows)


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    contenders = {
        "mean": contender(root, "mean", np.full(120, 0.6), family="mean"),
        "net": contender(root, "net", said(0.1), family="net", history=EPOCHS),
        "net_1": contender(root, "net_1", said(0.12, 1), family="net", history=EPOCHS, training_seed=1),
        "wild": contender(root, "wild", said(0.5, 2)),
    }
    return root, *evaluate(root, contenders, table())


def test_the_numbers_of_a_track_are_few_and_flat(images):
    _, summary, _ = images
    assert set(summary) == {"mean", "net", "net_1", "wild", "attainable_spearman"}
    assert set(summary["net"]) == {"val_spearman", "test_spearman", "test_mse"}
    assert summary["mean"]["test_spearman"] is None
    assert 0 < summary["attainable_spearman"]["score"] < 1


def test_all_that_is_promised_is_written(images):
    root, summary, text = images
    board = [f"score.{kind}" for kind in ("leaderboard.csv", "pairs.csv", "people.json", "seeds.csv", "txt")]
    assert names(root / "metrics") == sorted(
        [*board, *(f"{m}.json" for m in ("mean", "net", "net_1", "wild"))]
    )
    report = read_json(root / "metrics" / "net.json")["score"]
    assert list(report) == ["train", "val", "test"]
    assert report["test"]["mse"] == summary["net"]["test_mse"]
    assert "net (2 seeds)" in text
    assert (root / "metrics" / "score.txt").read_text() in text + "\n"
    figures = [f"{name}/{figure}.{kind}" for name in ("mean", "net", "net_1", "wild") for figure in ("density", "fit") for kind in ("pdf", "svg")]  # fmt: skip
    figures += [f"score/distributions.{kind}" for kind in ("pdf", "svg")]
    figures += [f"score/models.{kind}" for kind in ("pdf", "png", "svg")]
    assert names(root / "figures") == sorted(figures)


def test_a_report_says_what_intervals_of_validation_cover_on_test(images):
    root, *_ = images
    report = read_json(root / "metrics" / "net.json")["score"]["test"]
    assert report["seen"] == 0
    found = report["intervals"]
    assert found["residuals"] == 20
    assert list(found) == ["residuals", "0.8", "0.9", "0.95"]  # neither category has 20
    assert 0.6 < found["0.8"]["coverage"] <= found["0.95"]["coverage"] <= 1
    assert 0.1 < found["0.8"]["width"] < found["0.95"]["width"] < 1
    predictions = tables.read(root / "predictions" / "net" / "predictions.csv")
    residuals = (predictions["score"] - predictions["prediction"])[predictions["split"] == "val"].abs()
    test = predictions[predictions["split"] == "test"]
    inside = (test["score"] - test["prediction"]).abs() <= residuals.max()
    assert found["0.95"]["coverage"] == pytest.approx(
        inside.mean(), abs=1e-6
    )  # 20 are just enough for the largest


def test_what_a_published_split_lets_models_see_is_counted(tmp_path):
    """Two test rows whose twins are in train and val, and one whose twin is unlabelled."""
    rows = table().assign(phash=[f"{i * 0x9E3779B97F4A7C15 % 2**64:016x}" for i in range(120)])
    split = {name: rows.index[rows["split"] == name] for name in ("train", "val", "test", "unlabelled")}
    for row, name in zip(split["test"][:3], ("train", "val", "unlabelled"), strict=True):
        rows.loc[row, "phash"] = f"{int(rows['phash'][split[name][0]], 16) ^ 0b1011:016x}"
    contenders = {
        "ridge": contender(tmp_path, "ridge", said(0.1)),
        "wild": contender(tmp_path, "wild", said(0.5)),
    }
    _, text = evaluate(tmp_path, contenders, rows)
    board = pd.read_csv(tmp_path / "metrics" / "score.leaderboard.csv")
    assert board["test_seen"].tolist() == [2, 2]
    assert read_json(tmp_path / "metrics" / "wild.json")["score"]["test"]["seen"] == 2
    assert "as the split has it" in text


def test_tables_to_plot_are_one_of_each_kind(images):
    root, _, _ = images
    assert names(root / "plots") == ["density.csv", "history.csv", "scatter.csv"]
    density, history, scatter = (
        pd.read_csv(root / "plots" / f"{n}.csv") for n in ("density", "history", "scatter")
    )
    assert list(density["model"].unique()) == ["truth", "mean", "net", "net_1", "wild"]
    assert (density.groupby("model").size() == 201).all()
    assert set(history["model"]) == {"net", "net_1"}  # one point is no history
    assert (scatter.groupby("model").size() == 30).all()
    truth = density[
        density["model"] == "truth"
    ]  # predictions may lie outside of [0, 1], where nothing is drawn
    assert np.trapezoid(truth["density"], truth["value"]) == pytest.approx(1, abs=0.25)


def test_models_without_epochs_leave_a_history_with_a_heading_alone(tmp_path):
    one = {"ridge": contender(tmp_path, "ridge", said(0.1))}
    evaluate(tmp_path, one, table())
    assert (tmp_path / "plots" / "history.csv").read_text() == "target,model,epoch,validation\n"


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    frames = {f"score_{t}": said(0.2, t) for t in range(3)}
    contenders = {
        "ridge_short": contender(root, "ridge_short", said(0.1), target="short_term"),
        "ridge_long": contender(root, "ridge_long", said(0.2, 1), target="long_term", more=frames),
        "ranker": contender(
            root, "ranker", said(0.2, 2), target="short_term", family="ranker", more={"ranking": said(0.1)}
        ),
        "ensemble": contender(
            root, "ensemble", said(0.1, 3), target="short_term", family="ensemble", on_val=True
        ),
    }
    return root, *evaluate(root, contenders, clips(), track="videos")


def test_every_target_has_a_board_of_all_models_and_each_model_one_line_of_numbers(videos):
    root, summary, _ = videos
    for target in ("short_term", "long_term"):
        board = pd.read_csv(root / "metrics" / f"{target}.leaderboard.csv").set_index("model")
        assert set(board.index) == {"ridge_short", "ridge_long", "ranker", "ensemble"}
        on_val = board["fitted_on_val"].fillna("")
        assert (on_val["ensemble"], on_val["ranker"], on_val["ridge_long"]) == ("all", "scores", "")
        assert board["beats_baseline"].isna().all()  # there is no mean to beat
    reports = {name: read_json(root / "metrics" / f"{name}.json") for name in board.index}
    with_intervals = {name for name, report in reports.items() if "intervals" in report["long_term"]["test"]}
    assert with_intervals == {"ridge_short", "ridge_long"}  # the others were fitted on validation
    long = reports["ridge_long"]["long_term"]["test"]["spearman"]
    assert summary["ridge_long"]["test_spearman"] == long
    assert set(summary["attainable_spearman"]) == {"short_term", "long_term"}
    assert "ridge_short | ridge_long" in (root / "metrics" / "across_targets.txt").read_text()
    assert (root / "figures" / "ridge_long" / "score_by_frame.pdf").is_file()
    assert set(pd.read_csv(root / "plots" / "density.csv")["target"]) == {"short_term", "long_term"}


def test_nothing_to_judge_and_no_test_rows_are_named_errors(tmp_path):
    one = {"ridge": contender(tmp_path, "ridge", said(0.1))}
    with pytest.raises(DataError, match="images: no model to judge"):
        evaluate(tmp_path / "a", {}, table())
    rows = table().assign(split=lambda t: t["split"].replace("test", "train"))
    with pytest.raises(DataError, match=r"no test row; split\.images\.test must leave some"):
        evaluate(tmp_path / "b", one, rows)


# Maps


@pytest.fixture(scope="module")
def maps_of(tmp_path_factory):
    root = tmp_path_factory.mktemp("maps")
    truth = small_maps.blocks()
    rows = small_maps.write_raw(root / "raw", truth, small_maps.rows())
    made = {
        "gan": ("pix2pix", small_maps.blurred(truth, 1), small_maps.GAN),
        "mean_map": ("mean", small_maps.mean_of(truth), small_maps.CLOSED_FORM),
        "ridge_map": ("place_ridge", small_maps.blurred(truth, 3), small_maps.CLOSED_FORM),
        "flat": ("unet", np.full(truth.shape, 0.1, np.float32), small_maps.DIFFUSION),
    }
    contenders = {}
    for name, (family, predicted, history) in made.items():
        small_maps.write_model(root / "predictions" / name, rows, predicted, history)
        contenders[name] = Contender(family, "map", root / "predictions" / name, {"name": name})
    return root, contenders, rows, *evaluate(root, contenders, rows, track="maps")


def test_models_of_maps_are_judged_by_the_same_road(maps_of):
    root, _, _, summary, text = maps_of
    assert set(summary["gan"]) == {"val_cc", "test_cc", "test_kl"}
    assert summary["flat"]["test_cc"] == 0
    assert "flat: 12 of 12 test maps are predicted as flat" in text
    report = read_json(root / "metrics" / "gan.json")["map"]
    assert report["collapse"]["discriminator_wins_from_epoch"] == 3
    assert names(root / "metrics") == sorted(
        [f"{name}.json" for name in ("flat", "gan", "mean_map", "ridge_map")]
        + [f"map.{kind}" for kind in ("items.csv", "leaderboard.csv", "pairs.csv", "txt")]
    )
    drawn = {path.split("/")[1].split(".")[0] for path in names(root / "figures") if path.startswith("gan/")}
    assert drawn == {"density", "fit", "cases"}
    boards = {path for path in names(root / "figures") if path.startswith("map/") and path.endswith(".png")}
    assert boards == {f"map/{name}.png" for name in ("l1", "models", "samples")}


def test_what_is_drawn_and_written_is_the_same_each_time(maps_of, tmp_path):
    root, contenders, rows, *_ = maps_of
    (tmp_path / "raw").symlink_to(root / "raw")
    evaluate(tmp_path, contenders, rows, track="maps")
    for folder in ("metrics", "figures", "plots"):
        for name in names(root / folder):
            assert (tmp_path / folder / name).read_bytes() == (root / folder / name).read_bytes(), name


def test_several_processes_draw_the_same(images, tmp_path):
    root, *_ = images
    contenders = {"net": Contender("net", "score", root / "predictions" / "net", {})}
    for threads in (1, 2):
        to = Folders(*(tmp_path / str(threads) / name for name in ("metrics", "figures")))
        for folder in to[:2]:
            folder.mkdir(parents=True)
        Evaluation("images", root, root, SETTINGS, 0, threads, to).run(contenders, table())
    for name in names(tmp_path / "1"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


# The stage


def test_the_stage_replaces_a_tracks_folders_whole(tmp_path, monkeypatch):
    from memorability.core import layout
    from pipeline import evaluate as stage

    monkeypatch.chdir(tmp_path)
    tables.write(table(), layout.split_table("images"))
    heads = {}
    for name, ensemble in (("ridge", False), ("both", True)):
        folder = layout.predictions("images", name, ensemble=ensemble)
        scores.write(folder, scores.for_target(table(), "score"), np.arange(120), said(0.1), {})
        tables.write(ONE, folder / "history.csv")
        settings = {"family": "ridge", "track": "images", "target": "score"}
        artifacts.save(
            tmp_path / "model", config={"settings": settings, "trained_on": {"memcat": 80}}, arrays={}
        )
        write_json(
            folder / artifacts.DESCRIBED, artifacts.described(tmp_path / "model").model_dump(mode="json")
        )
        heads[name] = SimpleNamespace(family="ridge", target="score")
    params = SimpleNamespace(
        **{"seed": 0, "threads": 1, "evaluate": {"images": SETTINGS}, "heads": lambda track: heads},
        **{"models": {"ridge": {"lr": 1}}, "ensembles": {"both": {"members": ["ridge"]}}},
    )
    for folder in (layout.METRICS, layout.FIGURES, layout.PLOTS, layout.MODEL_CARDS):
        old = tmp_path / folder / "images" / "removed_model.json"
        old.parent.mkdir(parents=True)
        old.write_text("{}")
    stage.main(params, "images")
    left = [name for name in names(tmp_path) if "removed_model" in name]
    assert left == []
    assert set(read_json(layout.METRICS / "images.json")) >= {"ridge", "both"}
    board = pd.read_csv(layout.METRICS / "images" / "score.leaderboard.csv").set_index("model")
    assert board["fitted_on_val"].fillna("").to_dict() == {"ridge": "", "both": "all"}
    assert set(read_json(layout.METRICS / "images" / "processor.json")) == {"processor", "threads", "kernels"}
    assert names(layout.MODEL_CARDS / "images") == ["both.md", "ridge.md"]
    written = (layout.MODEL_CARDS / "images" / "ridge.md").read_text()
    test = read_json(layout.METRICS / "images" / "ridge.json")["score"]["test"]
    measured = "{spearman:.3f} ({spearman_low:.3f} to {spearman_high:.3f})".format(**test)
    for said_there in (
        "memcat (80 items)",
        measured,
        "Human ceiling",
        'Predictor.load("models/ridge")',
        "handed out at",
    ):
        assert said_there in written
    (layout.predictions("images", "ridge", ensemble=False) / artifacts.DESCRIBED).unlink()
    with pytest.raises(DataError, match=r"no model\.json of the model; train it again"):
        stage.main(params, "images")
    assert (layout.MODEL_CARDS / "images" / "ridge.md").read_text() == written
