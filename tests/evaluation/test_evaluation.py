import numpy as np
import pandas as pd
import pytest

from memorability.core.errors import DataError
from memorability.core.files import read_json, write_json
from memorability.evaluation import metrics
from memorability.evaluation import reports as evaluation

RESPONSES = 40


def rows(n=240, *, noise=0.1, seed=0, answers=True):
    """A split table with predictions: 100 train, 40 val, 80 test and 20 unlabelled rows."""
    rng = np.random.default_rng(seed)
    rate = rng.uniform(0.3, 0.95, n)
    hits, alarms = rng.binomial(RESPONSES, rate), rng.binomial(RESPONSES, 0.05, n)
    table = pd.DataFrame(
        {
            "id": [f"demo/{i}.jpg" for i in range(n)],
            "dataset": "demo",
            "category": rng.choice(["animal", "food"], n),
            "score": (hits - alarms) / RESPONSES,
            "hits": hits,
            "false_alarms": alarms,
            "responses": RESPONSES,
            "split": ["train"] * 100 + ["val"] * 40 + ["test"] * 80 + ["unlabelled"] * 20,
            "prediction": rate + rng.normal(0, noise, n),
        }
    ).astype({"hits": "Int64", "false_alarms": "Int64", "responses": "Int64"})
    table.loc[table["split"] == "unlabelled", "score"] = np.nan
    if not answers:
        table[["hits", "false_alarms", "responses"]] = pd.NA
    return table


def report(joined, *, seed=0):
    return evaluation.report(joined, bootstrap=200, halves=5, seed=seed)


def test_every_measure_on_every_split():
    found = report(rows())
    assert list(found) == ["train", "val", "test"]
    assert [found[split]["n"] for split in found] == [100, 40, 80]
    for split in found.values():
        for name in metrics.METRICS:
            assert split[f"{name}_low"] <= split[name] <= split[f"{name}_high"]
        assert 0.5 < split["human_split_half_spearman"] < 1
        assert {"spearman_within_category", "sd_ratio", "wasserstein", "top_20", "bottom_20"} <= set(split)
        assert split["top_20"] > split["bottom_20"]


def test_values_are_those_of_the_metrics():
    joined = rows()
    part = joined[joined["split"] == "test"]
    truth, prediction = part["score"].to_numpy(float), part["prediction"].to_numpy(float)
    found = report(joined)["test"]
    expected = (
        metrics.measure(truth, prediction)
        | metrics.extremes(truth, prediction)
        | metrics.spread(truth, prediction)
    )
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    low, high = metrics.interval(metrics.resampled(truth, prediction, repeats=200, seed=0)["spearman"])
    assert (found["spearman_low"], found["spearman_high"]) == pytest.approx((low, high), abs=1e-6)


def test_a_constant_model_has_nulls_and_no_zeros(tmp_path):
    write_json(tmp_path / "report.json", report(rows().assign(prediction=0.7)))
    for split in read_json(tmp_path / "report.json").values():
        for name in ("spearman", "pearson"):
            assert split[name] is split[f"{name}_low"] is split[f"{name}_high"] is None
        assert split["spearman_within_category"] is None
        assert split["mse_low"] < split["mse"] < split["mse_high"]
        assert "top_20" not in split
        assert split["sd_ratio"] == pytest.approx(0, abs=1e-6)
        assert split["human_split_half_spearman"] > 0.5


def test_the_report_is_that_of_its_seed():
    assert report(rows()) == report(rows())
    assert report(rows())["test"]["mse_low"] != report(rows(), seed=1)["test"]["mse_low"]


def test_numbers_are_rounded_and_counts_are_whole(tmp_path):
    found = report(rows())["test"]
    assert isinstance(found["n"], int)
    assert all(value == round(value, evaluation.DIGITS) for value in found.values())
    assert evaluation.rounded({"a": 1 / 3, "b": None, "c": 7}) == {"a": 0.333333, "b": None, "c": 7}


def test_combined_data_sets_are_measured_by_themselves_too():
    one, other = rows(), rows(noise=0.5, seed=1)
    other = other.assign(dataset="another", id="another/" + other["id"])
    found = report(pd.concat([one, other], ignore_index=True))
    assert [found[split]["n"] for split in found] == [200, 80, 160]
    for split, numbers in found.items():
        assert list(numbers["by_dataset"]) == ["another", "demo"]
        assert numbers["by_dataset"]["demo"] == report(one)[split]
        assert numbers["by_dataset"]["another"] == report(other)[split]
    assert "by_dataset" not in report(one)["test"]


def test_a_split_of_one_data_set_alone_is_not_repeated():
    one = rows()
    other = one[one["split"] == "train"].assign(dataset="another", id="another")
    found = report(pd.concat([one, other], ignore_index=True))
    assert [split for split in found if "by_dataset" in found[split]] == ["train"]


def test_a_split_without_rows_is_left_out():
    joined = rows()
    assert list(report(joined[joined["split"] != "val"])) == ["train", "test"]


def test_without_answers_there_is_no_human_consistency():
    joined = rows(answers=False)
    assert report(joined)["test"]["human_split_half_spearman"] is None
    assert evaluation.human_consistency(joined, repeats=3, seed=0) is None
    one_short = rows()
    one_short.loc[one_short.index[0], "hits"] = pd.NA
    assert evaluation.human_consistency(one_short, repeats=3, seed=0) is None
    assert evaluation.human_consistency(rows()[:1], repeats=3, seed=0) is None


def test_without_categories_there_is_nothing_within_them():
    assert "spearman_within_category" not in report(rows().assign(category=pd.NA))["test"]


def test_join_goes_by_id():
    joined = rows()
    predictions = joined[["id", "prediction"]].sample(frac=1, random_state=0)
    found = evaluation.join(predictions, joined.drop(columns="prediction"))
    assert dict(zip(found["id"], found["prediction"], strict=True)) == dict(
        zip(joined["id"], joined["prediction"], strict=True)
    )
    assert list(found["id"]) == list(joined["id"])


def test_join_refuses_an_id_that_appears_twice():
    joined = rows()
    twice = pd.concat([joined[["id", "prediction"]]] * 2)
    with pytest.raises(pd.errors.MergeError):
        evaluation.join(twice, joined.drop(columns="prediction"))


def test_a_prediction_that_is_no_number_is_an_error():
    joined = rows()
    joined.loc[joined.index[-30], "prediction"] = np.nan
    with pytest.raises(DataError, match="finite"):
        report(joined)


def test_a_row_without_a_prediction_is_named():
    table = rows().drop(columns="prediction")
    predictions = rows()[["id", "prediction"]].iloc[1:]
    with pytest.raises(DataError, match=r"1 of 240 rows have no prediction, such as demo/0\.jpg"):
        evaluation.join(predictions, table)


def test_rows_with_under_two_answers_have_no_halves():
    joined = rows()
    some = joined.assign(responses=joined["responses"].where(np.arange(len(joined)) % 9 > 0, 1))
    some["hits"], some["false_alarms"] = some[["hits", "responses"]].min(axis=1), 0
    kept = some[some["responses"] >= 2]
    assert evaluation.human_consistency(some, repeats=5, seed=0) == evaluation.human_consistency(
        kept, repeats=5, seed=0
    )
