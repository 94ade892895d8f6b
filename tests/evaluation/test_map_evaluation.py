import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_maps

from memorability.core.errors import DataError
from memorability.core.files import read_json, write_json
from memorability.evaluation import map_evaluation, map_metrics, metrics
from memorability.evaluation.map_evaluation import Judged


def report(found, history=small_maps.DIFFUSION, *, seed=0):
    return map_evaluation.report(found, history, bootstrap=200, seed=seed)


@pytest.fixture(scope="module")
def found():
    return small_maps.judged()


# The report


def test_every_measure_on_every_split(found, tmp_path):
    written = report(found)
    write_json(tmp_path / "report.json", written)
    assert read_json(tmp_path / "report.json") == written
    assert list(written) == ["train", "val", "test", "collapse"]
    assert [written[split]["n"] for split in ("train", "val", "test")] == [6, 8, 12]
    for split in ("train", "val", "test"):
        for name in (*map_metrics.MEASURES, "sharpness_ratio"):
            low, high = written[split][f"{name}_low"], written[split][f"{name}_high"]
            assert low <= written[split][name] <= high
        assert written[split]["l1_on_-1_to_1"] == pytest.approx(2 * written[split]["l1"], abs=2e-6)
        assert written[split]["sharpness_ratio"] < 1
        assert written[split]["maps_without_cc"] == 0
        assert written[split]["cc_channel_2"] is None
        assert "by_dataset" not in written[split]


def test_the_numbers_are_those_of_the_measures(found):
    test = found.of_split("test")
    values = map_metrics.per_map(test.truth, test.prediction, list(test.rows["id"]))
    written = report(found)["test"]
    for name in map_metrics.MEASURES:
        assert written[name] == pytest.approx(values[name].mean(), abs=1e-6)
    sharp = map_metrics.sharpness(test.prediction).mean() / map_metrics.sharpness(test.truth).mean()
    assert written["sharpness_ratio"] == pytest.approx(sharp, abs=1e-6)
    expected = map_metrics.variety(test.truth, test.prediction)
    assert written["variety"] == pytest.approx(expected, abs=1e-6)


def test_a_report_is_that_of_its_seed(found):
    assert report(found) == report(found)
    assert report(found)["test"]["cc_low"] != report(found, seed=1)["test"]["cc_low"]


def test_maps_without_cc_are_counted_and_left_out(found):
    flat = found.prediction.copy()
    tests = np.flatnonzero(found.rows["split"] == "test")
    flat[tests[:3]] = 0.1
    written = report(found._replace(prediction=flat))
    assert (written["test"]["maps_without_cc"], written["val"]["maps_without_cc"]) == (3, 0)
    rest = tests[3:]
    expected = map_metrics.cc(found.truth[rest], found.prediction[rest]).mean()
    assert written["test"]["cc"] == pytest.approx(expected, abs=1e-6)


def test_a_constant_model_has_nulls(found):
    written = report(found._replace(prediction=np.full(found.truth.shape, 0.1, np.float32)))["test"]
    assert written["cc"] is written["cc_low"] is written["spearman"] is None
    assert written["maps_without_cc"] == written["n"] == 12
    assert (written["sharpness_ratio"], written["variety"]) == (0, 0)
    assert written["kl"] > 0


def test_combined_data_sets_are_measured_by_themselves_too(found):
    other = np.arange(len(found.rows)) % 2 == 0
    both = found._replace(rows=found.rows.assign(dataset=np.where(other, "osie", "demo")))
    written = report(both)
    for split in ("train", "val", "test"):
        assert list(written[split]["by_dataset"]) == ["demo", "osie"]
    alone = report(both.where(both.rows["dataset"] == "osie"))
    assert written["test"]["by_dataset"]["osie"] == alone["test"]


def test_further_measures_are_of_the_test_split_alone(found):
    given = {"bootstrap": 100, "seed": 0, "of_test": {"fid_small": 1 / 3}}
    written = map_evaluation.report(found, small_maps.GAN, **given)
    assert written["test"]["fid_small"] == 0.333333
    assert "fid_small" not in written["train"] | written["val"]
    none_left = map_evaluation.report(found.of_split("val"), small_maps.GAN, **given)
    assert list(none_left) == ["val", "collapse"]


def test_a_split_without_rows_is_left_out(found):
    assert list(report(found.of_split("test"), small_maps.CLOSED_FORM)) == ["test"]


# The bootstrap


def test_samples_are_those_of_the_rows(found):
    test = found.of_split("test")
    values = map_metrics.per_map(test.truth, test.prediction, list(test.rows["id"]))
    values.loc[[0, 4], "cc"] = np.nan
    samples = map_evaluation.resampled(values, repeats=50, seed=3)
    rows = np.random.default_rng(3).integers(0, 12, (50, 12))
    for name in map_metrics.MEASURES:
        np.testing.assert_allclose(samples[name], np.nanmean(values[name].to_numpy()[rows], axis=1))
    sharp = [values["sharpness"][r].sum() / values["true_sharpness"][r].sum() for r in rows]
    np.testing.assert_allclose(samples["sharpness_ratio"], sharp)


def test_samples_are_drawn_as_those_of_scores():
    errors = np.random.default_rng(0).random(30)
    names = [*map_metrics.MEASURES, "sharpness", "true_sharpness"]
    values = pd.DataFrame(dict.fromkeys(names, errors))
    of_maps = map_evaluation.resampled(values, repeats=40, seed=1)["l1"]
    of_scores = metrics.resampled(np.zeros(30), errors, repeats=40, seed=1)["l1"]
    np.testing.assert_allclose(of_maps, of_scores)


# Collapse


def test_outputs_that_have_lost_their_variety(found):
    mean = found._replace(prediction=small_maps.mean_of(found.truth))
    said = report(mean)["collapse"]
    assert said["outputs_lost_their_variety"]
    assert said["variety"] == pytest.approx(0, abs=1e-6)
    assert "hardly differ from picture to picture" in said["text"]
    good = report(found)["collapse"]
    assert not good["outputs_lost_their_variety"]
    assert good["variety"] > 0.5
    assert "discriminator_wins_from_epoch" not in good


def test_a_closed_form_cannot_collapse(found):
    mean = found._replace(prediction=small_maps.mean_of(found.truth))
    assert "collapse" not in report(mean, small_maps.CLOSED_FORM)


WINS = {
    "to the end": ([0.5, 0.99, 0.7, 0.98, 0.99, 1.0], 13),
    "not for long": ([0.5, 0.6, 0.7, 0.8, 0.99, 1.0], None),
    "not any more": ([1.0, 1.0, 1.0, 1.0, 1.0, 0.9], None),
    "always": ([1.0] * 6, 10),
    "never": ([0.5] * 6, None),
    "not known": ([0.99, 0.99, 0.99, 0.99, 0.99, np.nan], None),
}


@pytest.mark.parametrize(("wins", "epoch"), WINS.values(), ids=WINS)
def test_since_when_the_discriminator_wins(wins, epoch):
    history = small_maps.GAN.assign(train_wins=wins, epoch=np.arange(10, 16))
    said = map_evaluation.collapse(history, 0.8)
    assert said["discriminator_wins_from_epoch"] == epoch
    assert (f"from epoch {epoch} on" in said["text"]) == (epoch is not None)
    json.dumps(said, allow_nan=False)


def test_a_val_split_without_different_maps():
    said = map_evaluation.collapse(small_maps.GAN, None)
    assert not said["outputs_lost_their_variety"]
    assert "no different maps on val" in said["text"]


# From files


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    root = tmp_path_factory.mktemp("track")
    truth = small_maps.blocks()
    table = small_maps.write_raw(root / "raw", truth, small_maps.rows())
    return root, truth, table


def judge(root, table, path, size=small_maps.SIZE):
    return map_evaluation.judged(path, table, raw=root / "raw", size=size, threads=1)


def test_truth_and_prediction_are_in_the_order_of_the_table(track, tmp_path):
    root, truth, table = track
    small_maps.write_model(tmp_path / "predictions.csv", table, truth / 255)
    found = judge(root, table, tmp_path / "predictions.csv")
    assert list(found.rows["id"]) == list(table["id"])
    np.testing.assert_array_equal(found.truth, truth)
    np.testing.assert_allclose(found.prediction, truth / 255, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_maps_are_compared_at_one_size_whatever_the_model_makes(channels, tmp_path):
    truth = small_maps.blocks(channels=channels)
    table = small_maps.write_raw(tmp_path / "raw", truth, small_maps.rows())
    small_maps.write_model(
        tmp_path / "predictions.csv", table, truth.repeat(2, axis=2).repeat(2, axis=3) / 255
    )
    found = judge(tmp_path, table, tmp_path / "predictions.csv", size=8)
    assert found.truth.shape == found.prediction.shape == (26, channels, 8, 8)
    assert np.nanmin(map_metrics.cc(found.truth, found.prediction)) > 0.97


def test_of_train_some_rows_are_enough_and_of_val_all_are_needed(track, tmp_path):
    root, truth, table = track
    path = tmp_path / "predictions.csv"
    small_maps.write_model(path, table[3:], truth[3:] / 255)
    assert list(judge(root, table, path).rows["split"].value_counts()) == [12, 8, 3]
    small_maps.write_model(path, table[8:], truth[8:] / 255)
    with pytest.raises(DataError, match=r"2 rows of val and test have no prediction, such as demo/6\.png"):
        judge(root, table, path)


def test_unlabelled_rows_are_not_judged(track, tmp_path):
    root, truth, table = track
    small_maps.write_model(tmp_path / "predictions.csv", table, truth / 255)
    some = table.assign(split=table["split"].mask(table.index == 20, "unlabelled"))
    assert "demo/20.png" not in set(judge(root, some, tmp_path / "predictions.csv").rows["id"])


def test_two_predictions_of_one_picture_are_refused(track, tmp_path):
    root, truth, table = track
    twice = pd.concat([table, table[:1]])
    small_maps.write_model(tmp_path / "predictions.csv", twice, np.concatenate([truth, truth[:1]]) / 255)
    with pytest.raises(DataError, match=r"demo/0\.png: two predictions"):
        judge(root, table, tmp_path / "predictions.csv")


def test_a_prediction_of_other_channels_is_a_named_error():
    found = small_maps.judged()
    with pytest.raises(DataError, match="alike"):
        report(Judged(found.rows, found.truth, found.prediction[:, :1]))


# The stages


def test_judging_needs_no_torch(tmp_path):
    names = "'pipeline.evaluate', 'pipeline.compare', 'memorability.evaluation.map_plots', 'memorability.evaluation.map_evaluation'"
    code = f"import sys, importlib; [importlib.import_module(n) for n in ({names})]; assert 'torch' not in sys.modules"
    environment = os.environ | {"MPLCONFIGDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_the_frechet_distance_is_computed_where_params_name_a_network(found, tmp_path, monkeypatch):
    from memorability.evaluation import fid
    from pipeline import evaluate

    asked = {}
    monkeypatch.setattr(fid, "distance", lambda truth, prediction, **given: asked.update(given) or 1.5)
    settings, test = small_maps.Settings(models={}), found.of_split("test")
    assert evaluate.frechet(settings, test) == {}
    settings.evaluate.fid = "demo_resnet18"
    assert evaluate.frechet(settings, test) == {"fid_demo_resnet18": 1.5}
    assert asked == {"backbone": Path("models/demo_resnet18"), "threads": 1}


def test_the_stages_write_all_that_is_promised(tmp_path, monkeypatch):
    from pipeline import compare, evaluate
    from pipeline.common import predictions_of

    monkeypatch.chdir(tmp_path)
    truth = small_maps.blocks()
    table = small_maps.write_raw(tmp_path / "data/raw/maps", truth, small_maps.rows())
    (tmp_path / "data/splits").mkdir()
    table.to_csv("data/splits/maps.csv", index=False)
    settings = small_maps.Settings(models={"gan": "pix2pix", "mean_map": "mean", "ridge_map": "place_ridge"})
    made = {"gan": small_maps.blurred(truth, 1), "mean_map": small_maps.mean_of(truth)}
    for name in settings.models:
        head = settings.head(name)
        small_maps.write_model(
            predictions_of(name, head), table, made.get(name, small_maps.blurred(truth, 2))
        )
        history = tmp_path / "data/history" / name / "history.csv"
        history.parent.mkdir(parents=True)
        (small_maps.GAN if name == "gan" else small_maps.CLOSED_FORM).to_csv(history, index=False)
        evaluate.main(settings, name)
        assert sorted(p.name for p in (tmp_path / "plots/data/maps" / name).iterdir()) == [
            "density.csv", "history.csv", "scatter.csv",
        ]  # fmt: skip
    compare.main(settings, "maps")
    written = {str(p.relative_to(tmp_path / "metrics")) for p in (tmp_path / "metrics").rglob("*.*")}
    board = {f"compare/maps/map.{kind}" for kind in ("leaderboard.csv", "pairs.csv", "per_map.csv", "txt")}
    assert written == board | {"compare/maps/processor.json", "maps.json"} | {
        f"maps/{name}.json" for name in settings.models
    }
    summary = read_json(tmp_path / "metrics/maps.json")
    report = read_json(tmp_path / "metrics/maps/gan.json")["map"]
    assert summary["maps.gan.test_cc"] == report["test"]["cc"]
    assert report["collapse"]["discriminator_wins_from_epoch"] == 3
    figures = tmp_path / "plots/figures/compare/maps/map"
    assert {p.stem for p in figures.glob("*.png")} == {"models", "samples", "l1"}
    text = (tmp_path / "metrics/compare/maps/map.txt").read_text()
    assert "than `mean_map`" in text
    assert "than `ridge_map`" in text
