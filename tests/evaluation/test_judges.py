"""Both judges: the same names; what is written is read again; and measures with their samples."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import small_maps

from memorability.core.errors import DataError
from memorability.data import tables
from memorability.evaluation import (
    Judged,
    board_of,
    figures_of,
    judge,
    map_measures,
    maps,
    protocols,
    reports,
    score_measures,
    scores,
    together,
)
from memorability.evaluation.settings import Evaluate

SETTINGS = Evaluate(bootstrap=100, halves=3, map_size=small_maps.SIZE)
COUNTS = ("hits", "false_alarms", "responses", "false_alarm_responses")


def table(n=120, *, seed=0):
    """A split table of scores as a stage writes it: 60 train, 20 val, 30 test and 10 unlabelled rows."""
    rng = np.random.default_rng(seed)
    rate = rng.uniform(0.3, 0.95, n)
    hits, alarms = rng.binomial(40, rate), rng.binomial(40, 0.05, n)
    made = pd.DataFrame(
        {
            **{"id": [f"demo/{i}.jpg" for i in range(n)], "dataset": "demo"},
            "category": rng.choice(["animal", "food"], n),
            **{"score": (hits - alarms) / 40, "hits": hits, "false_alarms": alarms},
            **{"responses": 40, "false_alarm_responses": 40},
            "split": ["train"] * 60 + ["val"] * 20 + ["test"] * 30 + ["unlabelled"] * 10,
        }
    ).astype(dict.fromkeys(COUNTS, "Int64"))
    made.loc[made["split"] == "unlabelled", "score"] = np.nan
    return made


def judged(noise=0.1, *, seed=0, ranking=False):
    rows = table()
    rows = rows[rows["split"] != "unlabelled"].reset_index(drop=True)
    truth = rows["score"].to_numpy(float)
    said = truth + np.random.default_rng(seed).normal(0, noise, len(rows))
    return Judged(rows, truth, said, said.argsort().argsort() / len(rows) if ranking else None)


@pytest.mark.parametrize("track", ["images", "videos", "maps"])
def test_what_is_found_by_a_tracks_name_offers_the_names_of_its_protocol(track):
    for found, protocol in (
        (judge(track), protocols.Judge),
        (board_of(track), protocols.Board),
        (figures_of(track), protocols.Figures),
    ):
        names = [name for name in vars(protocol) if not name.startswith("_")]
        assert [name for name in names if not hasattr(found, name)] == []


@pytest.mark.parametrize("kind", [scores, maps])
def test_each_measure_states_once_which_way_is_good(kind):
    good = {"spearman", "pearson", "cc", "sim"}
    assert {name for name, measure in kind.MEASURES.items() if measure.higher_is_better} == good & set(
        kind.MEASURES
    )
    assert set(kind.COMPARED) <= set(kind.MEASURES)


def test_judging_needs_no_torch_and_training_no_figures(tmp_path):
    code = (
        "import sys, importlib\n"
        "from memorability.evaluation import judge\n"
        "judge('maps'); judge('images')\n"
        "assert 'matplotlib' not in sys.modules\n"
        "for name in ('evaluate', 'map_figures', 'score_figures', 'standings'):\n"
        "    importlib.import_module(f'memorability.evaluation.{name}')\n"
        "assert 'torch' not in sys.modules\n"
    )
    environment = os.environ | {"MPLCONFIGDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


# Scores


def test_scores_are_read_as_they_were_written_whatever_the_order(tmp_path):
    rows = scores.for_target(table(), "score")
    truth = scores.read_truth(rows, settings=None, raw=tmp_path, threads=1)
    assert list(truth.kept) == list(range(120))
    said = np.arange(120) / 120
    more = {"ranking": said[::-1], "attention_0": said, "attention_1": 1 - said}
    scores.write(tmp_path, rows, truth.kept, said, more)
    found = scores.read(tmp_path, rows[::-1], raw=tmp_path, settings=SETTINGS, threads=1)
    assert list(found.rows["id"]) == list(rows["id"][:110][::-1])  # not the unlabelled ones
    np.testing.assert_array_equal(found.prediction, said[:110][::-1])
    np.testing.assert_array_equal(found.ranking, said[::-1][:110][::-1])
    np.testing.assert_array_equal(found.truth, truth.values[:110][::-1])
    assert list(found.more) == ["attention_0", "attention_1"]


def written(folder, change):
    rows = scores.for_target(table(), "score")
    scores.write(folder, rows, np.arange(120), np.full(120, 0.5), {})
    path = folder / "predictions.csv"
    tables.write(change(tables.read(path)), path)
    return rows


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop(columns="prediction"), "no column prediction"),
        (lambda t: pd.concat([t, t[3:4]]), r"demo/3\.jpg has two predictions"),
        (lambda t: t[:100], r"10 rows of val and test have no prediction, such as demo/100\.jpg"),
        (lambda t: t[:0], "50 rows of val and test have no prediction"),
        (lambda t: t[[]], "cannot be read as a table"),
    ],
)
def test_tables_that_do_not_fit_are_named_errors(tmp_path, change, said):
    rows = written(tmp_path, change)
    with pytest.raises(DataError, match=said):
        scores.read(tmp_path, rows, raw=tmp_path, settings=SETTINGS, threads=1)


def test_no_table_at_all(tmp_path):
    with pytest.raises(DataError, match="no such table"):
        scores.read(tmp_path, table(), raw=tmp_path, settings=SETTINGS, threads=1)


@pytest.mark.parametrize("ranking", [False, True])
def test_samples_of_scores_are_the_measures_of_the_rows_drawn(ranking):
    given = judged(ranking=ranking)
    found = scores.resampled(given, repeats=20, seed=5)
    drawn = np.random.default_rng(5).integers(0, len(given), (20, len(given)))
    assert found.values == scores.measure(given.truth, given.prediction, given.ranking)
    for number, rows in enumerate(drawn):
        order = None if given.ranking is None else given.ranking[rows]
        expected = scores.measure(given.truth[rows], given.prediction[rows], order)
        assert {name: samples[number] for name, samples in found.samples.items()} == pytest.approx(expected)
    assert list(found.items) == ["id", "truth", "prediction"]


def test_samples_without_a_correlation_are_nan():
    rows = table()[:20]
    found = scores.resampled(Judged(rows, np.linspace(0, 1, 20), np.full(20, 0.5)), repeats=10, seed=0)
    assert found.values["spearman"] is found.values["pearson"] is None
    assert np.isnan(found.samples["spearman"]).all()
    assert np.isnan(found.samples["pearson"]).all()
    assert np.isfinite(found.samples["mse"]).all()
    two = scores.resampled(Judged(rows[:2], np.array([0.1, 0.2]), np.array([0.1, 0.2])), repeats=100, seed=0)
    assert 20 < np.isnan(two.samples["spearman"]).sum() < 80  # both rows are the same one half of the time


def test_a_ranking_judges_the_order_and_the_prediction_the_errors():
    given = judged(ranking=True)
    found = scores.measure(given.truth, given.prediction, -given.ranking)
    plain = scores.measure(given.truth, given.prediction)
    assert (found["l1"], found["mse"]) == (plain["l1"], plain["mse"])
    assert found["spearman"] == pytest.approx(-plain["spearman"])


def test_a_report_has_every_measure_with_its_interval():
    given = judged().of_split("test")
    found, resampled = reports.measure(scores, given, settings=SETTINGS, seed=0)
    assert found["n"] == 30
    for name in scores.MEASURES:
        assert found[f"{name}_low"] <= found[name] <= found[f"{name}_high"]
        assert found[name] == pytest.approx(resampled.values[name], abs=1e-6)
    expected = score_measures.spread(given.truth, given.prediction)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert "spearman_within_category" in found


def test_under_ten_rows_there_is_no_interval():
    few = judged().of_split("test").where(np.arange(30) < 9)
    found, _ = reports.measure(scores, few, settings=SETTINGS, seed=0)
    assert (found["n"], found["spearman_low"], found["mse_high"]) == (9, None, None)
    assert found["mse"] is not None


def test_combined_data_sets_are_measured_by_themselves_too():
    one = judged()
    other = Judged(one.rows.assign(dataset="another"), one.truth, one.prediction[::-1])
    keyed = {"settings": SETTINGS, "seed": 0, "models": None, "threads": 1}
    found, test = reports.report(scores, together([one, other]), pd.DataFrame({"epoch": [0]}), **keyed)
    alone, _ = reports.report(scores, one, pd.DataFrame({"epoch": [0]}), **keyed)
    assert list(found) == ["train", "val", "test"]
    assert [found[split]["n"] for split in found] == [120, 40, 60]
    assert len(test.items) == 60
    for split, numbers in found.items():
        assert list(numbers["by_dataset"]) == ["another", "demo"]
        assert numbers["by_dataset"]["demo"] == alone[split]
    assert "by_dataset" not in alone["test"]


def test_people_agree_by_split():
    found = reports.agreement(scores, table(), settings=SETTINGS, seed=0)
    assert list(found) == ["train", "val", "test"]
    assert all(0 < numbers["split_half"] < numbers["reliability"] < 1 for numbers in found.values())


def test_rows_judged_apart_are_as_those_judged_at_once():
    whole = judged(ranking=True)
    parts = [whole.where(np.arange(110) < 40), whole.where(np.arange(110) >= 40)]
    found = together(parts)
    pd.testing.assert_frame_equal(found.rows, whole.rows)
    for name in ("truth", "prediction", "ranking"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


# Maps


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    root = tmp_path_factory.mktemp("track")
    truth = small_maps.blocks()
    return root, truth, small_maps.write_raw(root / "raw", truth, small_maps.rows())


def read(root, folder, rows, size=small_maps.SIZE):
    settings = SETTINGS.model_copy(update={"map_size": size})
    return maps.read(folder, rows, raw=root / "raw", settings=settings, threads=1)


def test_maps_are_read_as_they_were_written_whatever_the_order(track, tmp_path):
    root, truth, rows = track
    small_maps.write_model(tmp_path, rows, truth / 255)
    found = read(root, tmp_path, rows)
    assert list(found.rows["id"]) == list(rows["id"])
    np.testing.assert_array_equal(found.truth, truth)
    np.testing.assert_array_equal(found.prediction, (truth / 255).astype(np.float32))


def test_small_values_of_a_map_are_kept(track, tmp_path):
    """Half precision made 0 of them, for which KL pays 36 nats."""
    root, truth, rows = track
    tiny = truth / 255 + 1e-9
    small_maps.write_model(tmp_path, rows, tiny)
    assert np.load(tmp_path / "maps.npy").dtype == np.float32
    found = read(root, tmp_path, rows)
    expected = map_measures.kl(truth, tiny)
    np.testing.assert_allclose(map_measures.kl(truth, found.prediction), expected, atol=1e-4)
    inverted = np.where(truth == 0, 1.0, 1e-9)  # of which half precision keeps no more than the zeros
    assert map_measures.kl(truth, inverted.astype(np.float16)).mean() > 30
    assert map_measures.kl(truth, inverted.astype(np.float32)).mean() < 27


@pytest.mark.parametrize("channels", [1, 3])
def test_maps_are_compared_at_one_size_whatever_the_model_makes(channels, tmp_path):
    truth = small_maps.blocks(channels=channels)
    rows = small_maps.write_raw(tmp_path / "raw", truth, small_maps.rows())
    small_maps.write_model(tmp_path / "m", rows, truth.repeat(2, axis=2).repeat(2, axis=3) / 255)
    found = read(tmp_path, tmp_path / "m", rows, size=8)
    assert found.truth.shape == found.prediction.shape == (26, channels, 8, 8)
    assert map_measures.cc(found.truth, found.prediction).min() > 0.97


def test_of_train_some_rows_are_enough(track, tmp_path):
    root, truth, rows = track
    small_maps.write_model(tmp_path, rows[3:], truth[3:] / 255)
    assert list(read(root, tmp_path, rows).rows["split"].value_counts()) == [12, 8, 3]


def test_unlabelled_rows_are_not_judged(track, tmp_path):
    root, truth, rows = track
    small_maps.write_model(tmp_path, rows, truth / 255)
    some = rows.assign(split=rows["split"].mask(rows.index == 20, "unlabelled"))
    assert "demo/20.png" not in set(read(root, tmp_path, some).rows["id"])


def test_arrays_that_do_not_fit_are_named_errors(track, tmp_path):
    root, truth, rows = track
    small_maps.write_model(tmp_path, rows, truth / 255)
    np.save(tmp_path / "maps.npy", np.zeros((3, 3, 16, 16), np.float32))
    with pytest.raises(DataError, match=r"\(3, 3, 16, 16\); valid: \[N, C, S, S\]"):
        read(root, tmp_path, rows)
    (tmp_path / "maps.npy").unlink()
    with pytest.raises(DataError, match="no such array of maps"):
        read(root, tmp_path, rows)
    with pytest.raises(DataError, match="26 rows and 3 maps"):
        maps.write(tmp_path, rows, np.arange(26), truth[:3], {})


def test_the_truth_of_maps_is_of_the_size_that_a_model_asks_for(track):
    root, truth, rows = track
    rows = maps.for_target(rows.assign(map=rows["map"].mask(rows.index == 2)), "composite")
    settings = SimpleNamespace(pixels=small_maps.SIZE)
    found = maps.read_truth(rows, settings=settings, raw=root / "raw", threads=1)
    assert found.values.shape == truth.shape
    assert (rows["split"][2], found.values[2].max()) == ("unlabelled", 0)
    assert list(found.kept) == [0, 1, *range(3, 26)]
    np.testing.assert_array_equal(found.values[found.kept], truth[found.kept])
    assert maps.build_options(found.values) == {"channels": 3}
    assert scores.build_options(np.zeros(3)) == {}
    assert maps.as_floats(found.values).max() <= 1


def test_samples_of_maps_are_means_of_the_maps_drawn():
    given = small_maps.judged()
    found = maps.resampled(given, repeats=20, seed=5)
    drawn = np.random.default_rng(5).integers(0, 26, (20, 26))
    for name in maps.MEASURES:
        values = found.items[name].to_numpy()
        assert found.values[name] == pytest.approx(values.mean())
        np.testing.assert_allclose(found.samples[name], values[drawn].mean(axis=1))
    sharp, true = (found.items[name].to_numpy() for name in ("sharpness", "true_sharpness"))
    expected = sharp[drawn].mean(axis=1) / true[drawn].mean(axis=1)
    np.testing.assert_allclose(found.samples["sharpness_ratio"], expected)
    assert found.values["sharpness_ratio"] == pytest.approx(sharp.mean() / true.mean())


def test_a_report_says_how_many_maps_are_flat():
    given = small_maps.judged().of_split("test")
    said = given.prediction.copy()
    said[:4] = 0.1
    found, _ = reports.measure(maps, Judged(given.rows, given.truth, said), settings=SETTINGS, seed=0)
    whole, _ = reports.measure(maps, given, settings=SETTINGS, seed=0)
    assert (found["maps_predicted_flat"], whole["maps_predicted_flat"]) == (4, 0)
    assert found["cc"] < whole["cc"]
    assert found["maps_without_cc"] == 0
    assert found["l1_on_-1_to_1"] == pytest.approx(2 * found["l1"], abs=2e-6)


def test_measures_do_not_depend_on_how_many_are_computed_together(monkeypatch):
    given = small_maps.judged()
    whole = maps.per_map(given.truth, given.prediction)
    monkeypatch.setattr(maps, "AT_ONCE", 2)
    pd.testing.assert_frame_equal(maps.per_map(given.truth, given.prediction), whole)
    means = maps.measure(given.truth, given.prediction)
    assert {name: means[name] for name in maps.MEASURES} == pytest.approx(
        {name: whole[name].mean() for name in maps.MEASURES}
    )
