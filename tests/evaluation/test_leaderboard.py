import json

import numpy as np
import pandas as pd
import pytest

from memorability.core.files import write_json
from memorability.evaluation import leaderboard, map_leaderboard, metrics
from memorability.evaluation.map_leaderboard import MAPS


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
    prepared = leaderboard.of_scores(models, split=split, bootstrap=300, seed=seed)
    return leaderboard.comparisons(*prepared)


MODELS = {"mean": joined(None), "poor": joined(0.30), "good": joined(0.05, seed=2)}


# board


def board_of(reports):
    return leaderboard.board(reports, dict.fromkeys(reports, "score"))


def text_of(reports, pairs, human=None):
    return leaderboard.text(board_of(reports), pairs, human, baseline="mean")


def test_the_order_is_that_of_validation():
    table = board_of(REPORTS)
    assert list(table["model"]) == ["sound", "tied", "lucky", "mean"]
    assert list(table.index) == [0, 1, 2, 3]


def test_the_test_split_decides_nothing():
    swapped = {name: report | {"test": REPORTS["mean"]["test"]} for name, report in REPORTS.items()}
    assert list(board_of(swapped)["model"]) == list(board_of(REPORTS)["model"])


def test_the_order_of_the_params_does_not_matter():
    backwards = dict(reversed(REPORTS.items()))
    pd.testing.assert_frame_equal(board_of(backwards), board_of(REPORTS))


def test_the_values_are_those_of_the_reports():
    row = board_of(REPORTS).set_index("model").loc["lucky"]
    assert (row["val_spearman"], row["val_mse"]) == (0.50, 0.020)
    assert (row["test_spearman"], row["test_mse"], row["test_l1"]) == (0.90, 0.002, 0.002**0.5)
    assert (row["test_spearman_low"], row["test_spearman_high"]) == pytest.approx((0.85, 0.95))
    assert board_of(REPORTS).drop(columns=["model", "trained_on"]).dtypes.eq(float).all()


def test_a_model_without_a_correlation_is_last_with_empty_cells():
    row = board_of(REPORTS).iloc[-1]
    assert row["model"] == "mean"
    assert np.isnan([row["val_spearman"], row["test_spearman"], row["test_spearman_low"]]).all()
    assert row["test_mse"] == 0.029


def test_a_split_that_is_missing_leaves_cells_empty():
    table = board_of({"one": {"val": numbers(0.5, 0.02)}})
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
    table = board_of(COMBINED).set_index("model")
    assert list(table.columns[-4:]) == COLUMNS
    assert list(table.loc["lucky", COLUMNS]) == [0.90, 0.002, 0.50, 0.020]
    assert np.isnan(table.loc["mean", "lamem.test_spearman"])
    assert list(table.index) == list(board_of(REPORTS)["model"])  # they decide nothing


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
    found = leaderboard.summary("images", board_of(REPORTS), 0.77)
    write_json(tmp_path / "summary.json", found)
    assert json.loads((tmp_path / "summary.json").read_text()) == found
    assert all(value is None or isinstance(value, float) for value in found.values())
    assert found["images.human.test_spearman"] == 0.77
    assert found["images.sound.val_spearman"] == 0.70
    assert found["images.mean.test_spearman"] is None
    assert len(found) == 1 + 3 * len(REPORTS)


def test_the_summary_has_the_data_sets():
    found = leaderboard.summary("images", board_of(COMBINED), None)
    assert found["images.lucky.lamem.test_spearman"] == 0.90
    assert found["images.sound.sun.test_mse"] == 0.015
    assert found["images.mean.sun.test_spearman"] is None
    assert len(found) == 1 + (3 + len(COLUMNS)) * len(REPORTS)


def test_the_text_has_a_line_a_model_with_the_data_sets():
    text = text_of(COMBINED, compare({}))
    assert "nan" not in text
    lines = text.splitlines()
    start = lines.index("   by data set")
    assert lines[start + 1].split() == ["model", *COLUMNS]
    assert [line.split()[0] for line in lines[start + 2 : start + 6]] == ["sound", "tied", "lucky", "mean"]
    assert lines[start + 4].split() == ["lucky", "0.9000", "0.0020", "0.5000", "0.0200"]
    assert "by data set" not in text_of(REPORTS, compare({}))


def test_the_summary_without_people():
    assert leaderboard.summary("images", board_of(REPORTS), None)["images.human.test_spearman"] is None


def test_the_text_shows_every_model_in_order():
    lines = text_of(REPORTS, compare({}), 0.77).splitlines()
    assert [line.split()[1] for line in lines[1:5]] == ["sound", "tied", "lucky", "mean"]
    assert "0.700" in lines[1]
    assert "0.550 to 0.650" in lines[1]
    assert "nan" not in "".join(lines)
    assert any("people" in line and "0.770" in line for line in lines)
    assert "people" not in text_of(REPORTS, compare({}))


def test_the_text_marks_what_is_better_than_the_mean():
    reports = dict.fromkeys(("poor", "good"), REPORTS["sound"]) | {"mean": REPORTS["mean"]}
    lines = text_of(reports, compare(MODELS)).splitlines()
    marked = {line.split()[1]: line.endswith("*") for line in lines[1:4]}
    assert marked["good"]
    assert not marked["poor"]


def test_the_mean_has_no_mark_for_beating_a_worse_model():
    pairs = compare(MODELS)
    assert "mean" in set(pairs[pairs["metric"] == "mse"]["better"])
    reports = {name: {"val": numbers(0.1, 0.1), "test": numbers(0.1, 0.1)} for name in MODELS}
    lines = text_of(reports, pairs).splitlines()
    marked = [line.split()[1] for line in lines[1:-1] if line.endswith("*")]
    assert marked == ["good"]


# Models that rank, and models of several targets


def test_a_model_that_ranks_is_compared_by_its_ranking_and_its_scores():
    one, two = joined(0.1), joined(0.3, seed=2)
    ranked = two.assign(ranking=one["prediction"] + 0.01 * two["prediction"])
    table = compare({"one": one, "ranked": ranked}).set_index("metric")
    plain = compare({"one": one, "ranked": two}).set_index("metric")
    assert table.loc["mse"].equals(plain.loc["mse"])
    assert plain.loc["spearman", "better"] == "one"
    assert abs(table.loc["spearman", "difference"]) < 0.1 * plain.loc["spearman", "difference"]


def test_scores_that_are_constant_still_have_an_order():
    flat = joined(None).assign(ranking=joined(0.05)["prediction"])
    table = compare({"flat": flat, "good": joined(0.05, seed=2)})
    assert set(table["metric"]) == {"spearman", "mse"}
    assert abs(table.set_index("metric").loc["spearman", "difference"]) < 0.1


def test_the_text_says_what_each_was_trained_on_where_that_differs():
    trained_on = {"sound": "short_term", "lucky": "long_term", "tied": "short_term", "mean": "short_term"}
    table = leaderboard.board(REPORTS, trained_on)
    assert dict(zip(table["model"], table["trained_on"], strict=True)) == trained_on
    lines = leaderboard.text(table, compare({}), None, baseline="mean").splitlines()
    assert "trained on" in lines[0]
    assert [line.split()[2] for line in lines[1:5]] == [trained_on[name] for name in table["model"]]
    assert "trained on" not in text_of(REPORTS, compare({}))


def cross_of(twins):
    """Two twins, each of which is the better one for its own target, and a third that is constant."""
    models = {
        "short_term": {"a_long": joined(0.3), "b_short": joined(0.05, seed=2), "flat": joined(None)},
        "long_term": {"a_long": joined(0.05, seed=2), "b_short": joined(0.3), "flat": joined(None)},
    }
    trained_on = {"a_long": "long_term", "b_short": "short_term", "flat": "short_term"}
    boards = {}
    for target, found in models.items():
        tests = {name: rows[rows["split"] == "test"] for name, rows in found.items()}
        rho = {name: metrics.spearman(rows["score"], rows["prediction"]) for name, rows in tests.items()}
        reports = {name: {"test": numbers(rho[name], 0.02), "val": numbers(0.5, 0.02)} for name in found}
        boards[target] = leaderboard.board(reports, trained_on)
    pairs = {target: compare(found) for target, found in models.items()}
    return leaderboard.cross(boards, pairs, twins), boards


@pytest.mark.parametrize("twins", [("a_long", "b_short"), ("b_short", "a_long")])
def test_twins_are_compared_on_each_target_with_their_own_first(twins):
    text, boards = cross_of([twins])
    lines = [line.replace("|", " ").split() for line in text.splitlines()[1:]]
    assert [line[:3] for line in lines] == [
        ["b_short", "a_long", "short_term"],
        ["a_long", "b_short", "long_term"],
    ]
    for own, foreign, target, own_rho, foreign_rho, difference, low, _, high in lines:
        rho = boards[target].set_index("model")["test_spearman"]
        assert (float(own_rho), float(foreign_rho)) == pytest.approx((rho[own], rho[foreign]), abs=6e-4)
        assert float(difference) == pytest.approx(rho[own] - rho[foreign], abs=2e-3)
        assert 0 < float(low.strip("(")) < float(difference) < float(high.strip(")"))


def test_twins_of_which_one_is_constant_are_left_out():
    assert len(cross_of([("a_long", "flat")])[0].splitlines()) == 1


# Maps


def map_numbers(cc, kl=1.0, *, sharpness=0.9, **further):
    found = {"cc": cc, "kl": kl, "l1": 0.05, "sharpness_ratio": sharpness, "variety": 0.8}
    for name, value in list(found.items()):
        ends = (None, None) if value is None else (value - 0.05, value + 0.05)
        found |= {f"{name}_low": ends[0], f"{name}_high": ends[1]}
    return found | further


def collapsed(**said):
    return {"variety": 0.8, "outputs_lost_their_variety": False, "text": "what was seen."} | said


MAP_REPORTS = {
    "mean_map": {"val": map_numbers(0.3), "test": map_numbers(0.31, sharpness=0.4)},
    "lucky": {"val": map_numbers(0.5, 0.9), "test": map_numbers(0.9, 0.1)},
    "sound": {"val": map_numbers(0.7), "test": map_numbers(0.65, sharpness=0.7499)},
    "tied": {"val": map_numbers(0.5, 0.8), "test": map_numbers(0.45), "collapse": collapsed()},
    "flat": {"val": map_numbers(None), "test": map_numbers(None, sharpness=0.0)},
}


def map_board(reports):
    return leaderboard.board(reports, dict.fromkeys(reports, "map"), kind=MAPS)


def single_maps(*, shift=0.0, n=80, seed=1):
    """Measures of single maps; a CC that is higher by `shift`."""
    rng = np.random.default_rng(0)
    difficulty, own = rng.normal(0, 0.2, n), np.random.default_rng(seed).normal(0, 0.05, n)
    values = dict.fromkeys(("mse", "spearman", "sim", "sharpness", "true_sharpness"), np.full(n, 0.5))
    cc = np.clip(0.4 + shift + difficulty + own, -1, 1)
    ids = [f"demo/{i}.png" for i in range(n)]
    return pd.DataFrame({"id": ids, **values, "cc": cc, "kl": 1.5 - cc, "l1": 0.1 - 0.05 * cc})


SINGLE = {
    "mean_map": single_maps(),
    "sound": single_maps(shift=0.3, seed=2),
    "lucky": single_maps(shift=0.1, seed=3),
}


def map_pairs(tables, seed=0):
    return leaderboard.comparisons(*map_leaderboard.of_maps(tables, bootstrap=300, seed=seed), kind=MAPS)


def map_text(reports, pairs, **baselines):
    given = {"mean": "mean_map", "baseline": None} | baselines
    return map_leaderboard.text(map_board(reports), pairs, reports, **given)


def test_maps_are_ordered_by_cc_then_kl_on_validation():
    table = map_board(MAP_REPORTS)
    assert list(table["model"]) == ["sound", "tied", "lucky", "mean_map", "flat"]
    assert list(table.columns[2:5]) == ["val_cc", "val_kl", "val_l1"]
    row = table.set_index("model").loc["lucky"]
    assert (row["test_cc"], row["test_kl"], row["test_sharpness_ratio"]) == (0.9, 0.1, 0.9)
    assert (row["test_cc_low"], row["test_cc_high"]) == pytest.approx((0.85, 0.95))


def test_the_frechet_distance_has_a_column_where_there_is_one():
    assert not any("fid" in column for column in map_board(MAP_REPORTS))
    reports = MAP_REPORTS | {"sound": {"val": map_numbers(0.7), "test": map_numbers(0.6, fid_small=12.5)}}
    table = map_board(reports).set_index("model")
    assert table.loc["sound", "test_fid_small"] == 12.5
    assert np.isnan(table.loc["lucky", "test_fid_small"])
    text = map_text(reports, map_pairs(SINGLE))
    assert "12.50" in text
    assert "FID: with the features of small." in text
    assert map_leaderboard.summary("maps", map_board(reports))["maps.sound.test_fid_small"] == 12.5


def test_maps_are_compared_by_cc_kl_and_l1():
    table = map_pairs(SINGLE)
    assert list(table["metric"]) == ["cc"] * 3 + ["kl"] * 3 + ["l1"] * 3
    row = table[(table["model"] == "mean_map") & (table["other"] == "sound")].set_index("metric")
    assert list(row["better"]) == ["sound"] * 3
    assert row.loc["cc", "difference"] < 0 < row.loc["kl", "difference"]
    expected = SINGLE["mean_map"]["cc"].mean() - SINGLE["sound"]["cc"].mean()
    assert row.loc["cc", "difference"] == pytest.approx(expected, abs=1e-6)


def test_pairing_over_maps_makes_differences_narrow():
    row = map_pairs(SINGLE).iloc[0]
    alone = metrics.interval(map_leaderboard.of_maps(SINGLE, bootstrap=300, seed=0)[1]["sound"]["cc"])
    assert row["high"] - row["low"] < 0.7 * np.ptp(alone)


def test_the_text_of_maps_marks_blur_and_what_is_better_than_the_baselines():
    pairs = map_pairs(SINGLE)
    lines = map_text(MAP_REPORTS, pairs, baseline="lucky").splitlines()
    of = {line.split()[1]: line for line in lines[1:6]}
    assert list(of) == ["sound", "tied", "lucky", "mean_map", "flat"]
    assert "0.650*+" in of["sound"]
    assert "0.900*" in of["lucky"]
    assert "+" not in of["lucky"]
    assert "0.310 " in of["mean_map"]
    assert [name for name, line in of.items() if line.endswith("blur")] == ["sound", "mean_map", "flat"]
    assert "nan" not in "".join(lines)
    assert "* higher test CC than `mean_map`, + higher test CC than `lucky`" in "".join(lines)
    assert "+" not in map_text(MAP_REPORTS, pairs)


def test_the_text_of_maps_has_a_line_for_each_collapse():
    reports = {
        **MAP_REPORTS,
        "sound": {**MAP_REPORTS["sound"], "collapse": collapsed(discriminator_wins_from_epoch=4)},
        "lucky": {**MAP_REPORTS["lucky"], "collapse": collapsed(outputs_lost_their_variety=True)},
        "tied": {**MAP_REPORTS["tied"], "collapse": collapsed(discriminator_wins_from_epoch=None)},
    }
    lines = map_text(reports, map_pairs(SINGLE)).splitlines()
    assert lines[-2:] == ["sound: what was seen.", "lucky: what was seen."]
    assert "what was seen" not in map_text(MAP_REPORTS, map_pairs(SINGLE))


def test_the_text_of_maps_has_the_data_sets_and_what_was_trained_on():
    def report(cc):
        test = map_numbers(cc) | {"by_dataset": {"osie": map_numbers(cc), "vischema": map_numbers(0.2)}}
        return {"val": map_numbers(cc), "test": test}

    reports = {"one": report(0.6), "two": report(0.5)}
    board = leaderboard.board(reports, {"one": "map", "two": "composite"}, kind=MAPS)
    lines = map_leaderboard.text(board, map_pairs(SINGLE), reports, mean=None, baseline=None).splitlines()
    assert [line.split()[2] for line in lines[1:3]] == ["map", "composite"]
    assert "osie.test_cc" in lines[lines.index("   by data set") + 1]
    assert map_leaderboard.summary("maps", board)["maps.two.osie.test_cc"] == 0.5


def test_the_summary_of_maps_is_flat():
    found = map_leaderboard.summary("maps", map_board(MAP_REPORTS))
    assert found["maps.sound.val_cc"] == 0.7
    assert found["maps.sound.test_sharpness_ratio"] == 0.7499
    assert found["maps.flat.test_cc"] is None
    assert len(found) == 6 * len(MAP_REPORTS)
    assert not any("human" in name for name in found)


def test_single_maps_of_all_models_are_a_table_unless_it_is_large():
    table = map_leaderboard.of_single_maps(SINGLE)
    columns = [f"{name}.{measure}" for name in SINGLE for measure in ("cc", "kl", "l1")]
    assert list(table) == ["id", *columns]
    assert table["sound.cc"].tolist() == SINGLE["sound"]["cc"].round(4).tolist()
    assert map_leaderboard.of_single_maps({"sound": single_maps(n=9000)}) is None
