import json

import numpy as np
import pandas as pd
import pytest

from memorability import leaderboard, metrics
from memorability.files import write_json


def numbers(spearman, mse):
    found = {"pearson": spearman, "l1": mse**0.5, "spearman": spearman, "mse": mse}
    for name, value in list(found.items()):
        ends = (None, None) if value is None else (value - 0.05, value + 0.05)
        found |= {f"{name}_low": ends[0], f"{name}_high": ends[1]}
    return found


REPORTS = {
    "mean": {"val": numbers(None, 0.030), "test": numbers(None, 0.029)},
    "lucky": {"val": numbers(0.50, 0.020), "test": numbers(0.90, 0.002)},
    "sound": {"val": numbers(0.70, 0.015), "test": numbers(0.60, 0.016)},
    "tied": {"val": numbers(0.50, 0.018), "test": numbers(0.40, 0.020)},
}


def joined(noise, *, n=300, seed=1):
    """Test rows with predictions off by `noise`; a constant where it is None. Truths are always the same."""
    truth = np.random.default_rng(0).uniform(0.3, 0.9, n)
    off = np.random.default_rng(seed).normal(0, noise or 0, n)
    prediction = np.full(n, truth.mean()) if noise is None else truth + off
    rows = pd.DataFrame({"score": truth, "prediction": prediction, "split": "test"})
    return pd.concat([rows, rows.assign(split="val", prediction=0.1)], ignore_index=True)


def compare(models, split="test", seed=0):
    return leaderboard.comparisons(models, split=split, bootstrap=300, seed=seed)


MODELS = {"mean": joined(None), "poor": joined(0.30), "good": joined(0.05, seed=2)}


# board


def test_the_order_is_that_of_validation():
    table = leaderboard.board(REPORTS)
    assert list(table["model"]) == ["sound", "tied", "lucky", "mean"]
    assert list(table.index) == [0, 1, 2, 3]


def test_the_test_split_decides_nothing():
    swapped = {name: report | {"test": REPORTS["mean"]["test"]} for name, report in REPORTS.items()}
    assert list(leaderboard.board(swapped)["model"]) == list(leaderboard.board(REPORTS)["model"])


def test_the_order_of_the_params_does_not_matter():
    backwards = dict(reversed(REPORTS.items()))
    pd.testing.assert_frame_equal(leaderboard.board(backwards), leaderboard.board(REPORTS))


def test_the_values_are_those_of_the_reports():
    row = leaderboard.board(REPORTS).set_index("model").loc["lucky"]
    assert (row["val_spearman"], row["val_mse"]) == (0.50, 0.020)
    assert (row["test_spearman"], row["test_mse"], row["test_l1"]) == (0.90, 0.002, 0.002**0.5)
    assert (row["test_spearman_low"], row["test_spearman_high"]) == pytest.approx((0.85, 0.95))
    assert leaderboard.board(REPORTS).drop(columns="model").dtypes.eq(float).all()


def test_a_model_without_a_correlation_is_last_with_empty_cells():
    row = leaderboard.board(REPORTS).iloc[-1]
    assert row["model"] == "mean"
    assert np.isnan([row["val_spearman"], row["test_spearman"], row["test_spearman_low"]]).all()
    assert row["test_mse"] == 0.029


def test_a_split_that_is_missing_leaves_cells_empty():
    table = leaderboard.board({"one": {"val": numbers(0.5, 0.02)}})
    assert np.isnan(table["test_spearman"][0])
    assert table["val_spearman"][0] == 0.5


COMBINED = {
    name: {
        "val": report["val"],
        "test": report["test"] | {"by_dataset": {"lamem": report["test"], "sun": report["val"]}},
    }
    for name, report in REPORTS.items()
}
COLUMNS = [f"{dataset}.test_{measure}" for dataset in ("lamem", "sun") for measure in ("spearman", "mse")]


def test_combined_data_sets_have_columns_of_their_own():
    table = leaderboard.board(COMBINED).set_index("model")
    assert list(table.columns[-4:]) == COLUMNS
    assert list(table.loc["lucky", COLUMNS]) == [0.90, 0.002, 0.50, 0.020]
    assert np.isnan(table.loc["mean", "lamem.test_spearman"])
    assert list(table.index) == list(leaderboard.board(REPORTS)["model"])  # they decide nothing


# comparisons


def test_every_pair_is_compared_once_by_both_measures():
    table = compare(MODELS)
    pairs = table.groupby("metric")[["model", "other"]].apply(lambda rows: set(map(tuple, rows.to_numpy())))
    assert pairs["mse"] == {("mean", "poor"), ("mean", "good"), ("poor", "good")}
    assert pairs["spearman"] == {("poor", "good")}  # a constant has none to compare


def test_better_is_a_higher_spearman_and_a_lower_mse():
    table = compare({"poor": joined(0.30), "good": joined(0.05, seed=2)}).set_index("metric")
    assert list(table["better"]) == ["good", "good"]
    assert table.loc["spearman", "difference"] < 0 < table.loc["mse", "difference"]
    reverse = compare({"good": joined(0.05, seed=2), "poor": joined(0.30)}).set_index("metric")
    assert list(reverse["better"]) == ["good", "good"]
    np.testing.assert_allclose(table["difference"], -reverse["difference"])
    np.testing.assert_allclose(table["low"], -reverse["high"])


def test_a_poor_model_can_be_worse_than_the_mean():
    table = compare(MODELS)
    row = table[(table["model"] == "mean") & (table["other"] == "poor")].iloc[0]
    assert row["better"] == "mean"
    assert row["high"] < 0


def test_differences_are_those_of_the_measures():
    row = compare(MODELS).query("metric == 'mse' and model == 'poor'").iloc[0]
    tests = [rows[rows["split"] == "test"] for rows in (MODELS["poor"], MODELS["good"])]
    poor, good = (metrics.mse(rows["score"], rows["prediction"]) for rows in tests)
    assert row["difference"] == pytest.approx(poor - good, abs=1e-6)
    assert row["low"] < row["difference"] < row["high"]


def test_equal_models_are_not_better():
    table = compare({"one": joined(0.1), "two": joined(0.1)})
    assert (table["better"] == "").all()
    assert (table[["difference", "low", "high"]] == 0).all(axis=None)


def test_a_shift_changes_no_ranks():
    one = joined(0.1)
    two = one.assign(prediction=np.where(one["split"] == "test", one["prediction"] + 0.02, 0.1))
    row = compare({"one": one, "two": two}).query("metric == 'spearman'").iloc[0]
    assert (row["difference"], row["low"], row["high"], row["better"]) == (0, 0, 0, "")


def test_pairing_makes_differences_between_alike_models_narrow():
    one = joined(0.1)
    two = one.assign(prediction=one["prediction"] + np.random.default_rng(3).normal(0, 0.01, len(one)))
    row = compare({"one": one, "two": two}).query("metric == 'mse'").iloc[0]
    test = one[one["split"] == "test"]
    alone = metrics.resampled(test["score"], test["prediction"], repeats=300, seed=0)["mse"]
    assert row["high"] - row["low"] < 0.5 * np.ptp(metrics.interval(alone))


def test_comparisons_are_those_of_the_seed():
    pd.testing.assert_frame_equal(compare(MODELS), compare(MODELS))
    assert not compare(MODELS).equals(compare(MODELS, seed=1))


def test_nothing_to_compare():
    columns = ["model", "other", "metric", "difference", "low", "high", "better"]
    assert list(compare({"one": joined(0.1)})) == columns
    assert compare(MODELS, split="train").empty


# summary and text


def test_the_summary_is_flat_and_json(tmp_path):
    found = leaderboard.summary("images", leaderboard.board(REPORTS), 0.77)
    write_json(tmp_path / "summary.json", found)
    assert json.loads((tmp_path / "summary.json").read_text()) == found
    assert all(value is None or isinstance(value, float) for value in found.values())
    assert found["images.human.test_spearman"] == 0.77
    assert found["images.sound.val_spearman"] == 0.70
    assert found["images.mean.test_spearman"] is None
    assert len(found) == 1 + 3 * len(REPORTS)


def test_the_summary_has_the_data_sets():
    found = leaderboard.summary("images", leaderboard.board(COMBINED), None)
    assert found["images.lucky.lamem.test_spearman"] == 0.90
    assert found["images.sound.sun.test_mse"] == 0.015
    assert found["images.mean.sun.test_spearman"] is None
    assert len(found) == 1 + (3 + len(COLUMNS)) * len(REPORTS)


def test_the_text_has_a_line_a_model_with_the_data_sets():
    text = leaderboard.text(leaderboard.board(COMBINED), compare({}), None)
    assert "nan" not in text
    lines = text.splitlines()
    start = lines.index("   by data set")
    assert lines[start + 1].split() == ["model", *COLUMNS]
    assert [line.split()[0] for line in lines[start + 2 : start + 6]] == ["sound", "tied", "lucky", "mean"]
    assert lines[start + 4].split() == ["lucky", "0.9000", "0.0020", "0.5000", "0.0200"]
    assert "by data set" not in leaderboard.text(leaderboard.board(REPORTS), compare({}), None)


def test_the_summary_without_people():
    assert (
        leaderboard.summary("images", leaderboard.board(REPORTS), None)["images.human.test_spearman"] is None
    )


def test_the_text_shows_every_model_in_order():
    lines = leaderboard.text(leaderboard.board(REPORTS), compare({}), 0.77).splitlines()
    assert [line.split()[1] for line in lines[1:5]] == ["sound", "tied", "lucky", "mean"]
    assert "0.700" in lines[1]
    assert "0.550 to 0.650" in lines[1]
    assert "nan" not in "".join(lines)
    assert any("people" in line and "0.770" in line for line in lines)
    assert "people" not in leaderboard.text(leaderboard.board(REPORTS), compare({}), None)


def test_the_text_marks_what_is_better_than_the_mean():
    reports = dict.fromkeys(("poor", "good"), REPORTS["sound"]) | {"mean": REPORTS["mean"]}
    lines = leaderboard.text(leaderboard.board(reports), compare(MODELS), None).splitlines()
    marked = {line.split()[1]: line.endswith("*") for line in lines[1:4]}
    assert marked["good"]
    assert not marked["poor"]


def test_the_mean_has_no_mark_for_beating_a_worse_model():
    pairs = compare(MODELS)
    assert "mean" in set(pairs[pairs["metric"] == "mse"]["better"])
    reports = {name: {"val": numbers(0.1, 0.1), "test": numbers(0.1, 0.1)} for name in MODELS}
    lines = leaderboard.text(leaderboard.board(reports), pairs, None).splitlines()
    marked = [line.split()[1] for line in lines[1:-1] if line.endswith("*")]
    assert marked == ["good"]
