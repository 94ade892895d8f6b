"""Boards and comparisons of any models, and what the text says."""

import numpy as np
import pandas as pd
import pytest

from memorability.evaluation import Resampled, leaderboard, map_board, maps, score_board, scores
from memorability.evaluation.board_text import across_targets
from memorability.evaluation.comparisons import COLUMNS, against, better_than, comparisons
from memorability.evaluation.leaderboard import Line, over_seeds, summary, table
from memorability.evaluation.standings import alike, standings
from memorability.evaluation.statistics import SMALLEST

N = 200
PEOPLE = {"split_half": 0.78, "reliability": 0.876, "attainable": 0.936}


def numbers(spearman, mse, *, n=N):
    found = {"pearson": spearman, "l1": mse**0.5, "spearman": spearman, "mse": mse}
    for name, value in list(found.items()):
        ends = (None, None) if value is None or n < SMALLEST else (value - 0.05, value + 0.05)
        found |= {f"{name}_low": ends[0], f"{name}_high": ends[1]}
    return found | {"n": n}


def measured(spearman, mse, *, spread=0.01, seed=0, n=N):
    """Measures of a test split, with bootstrap samples around them."""
    rng = np.random.default_rng(seed)
    values = {"spearman": spearman, "mse": mse}
    samples = {
        name: np.full(300, np.nan) if value is None else value + rng.normal(0, spread * scale, 300)
        for (name, value), scale in zip(values.items(), (1, 0.1), strict=True)
    }
    return Resampled(values, samples, pd.DataFrame({"id": range(n)}))


def line(spearman, mse, *, val=None, family="net", target="score", on_val="", seed=0, spread=0.01, n=N):
    report = {
        "val": numbers(spearman if val is None else val, mse, n=90),
        "test": numbers(spearman, mse, n=n),
    }
    test = measured(spearman, mse, seed=seed, spread=spread, n=n)
    return Line(family, target, report, test, on_val)


LINES = {
    "mean": line(None, 0.030, family="mean"),
    "lucky": line(0.90, 0.002, val=0.50, seed=1),
    "sound": line(0.60, 0.016, val=0.70, seed=2),
    "poor": line(0.02, 0.040, val=0.10, seed=3),
}


def board(lines, *, seeds=(), target="score", people=None, track="images"):
    return standings(track, target, lines, people or {}, seeds=seeds, repeats=300)


# What a model has seen


def seen(count, one):
    return one._replace(report=one.report | {"test": one.report["test"] | {"seen": count}})


def test_what_a_model_has_seen_of_the_test_split_has_a_column_and_a_note():
    lines = LINES | {"sound": seen(17, LINES["sound"]), "poor": seen(0, LINES["poor"])}
    made = board(lines)
    assert made.table.set_index("model")["test_seen"].to_dict() == pytest.approx(
        {"sound": 17, "lucky": np.nan, "poor": 0, "mean": np.nan}, nan_ok=True
    )
    rows = {row.split()[1]: row for row in made.text.splitlines()[1:5]}
    assert made.text.splitlines()[0].endswith("    seen")
    assert [rows[name].split()[-2:] for name in ("sound", "poor")] == [["17", "*"], ["0", "x"]]
    assert "\nseen: test items of which the model was fitted or selected on a near-duplicate" in made.text
    assert made.models["test_seen"].equals(made.table["test_seen"])


def test_where_no_model_has_seen_any_there_is_neither():
    made = board({name: seen(0, one) for name, one in LINES.items()})
    assert "test_seen" not in made.table
    assert "seen" not in made.text


# The order and the numbers


def test_the_order_is_that_of_validation_and_the_test_split_decides_nothing():
    made = table(LINES, scores, score_board)
    assert list(made["model"]) == ["sound", "lucky", "poor", "mean"]
    swapped = {
        name: one._replace(report=one.report | {"test": LINES["mean"].report["test"]})
        for name, one in LINES.items()
    }
    assert list(table(swapped, scores, score_board)["model"]) == list(made["model"])
    backwards = dict(reversed(LINES.items()))
    pd.testing.assert_frame_equal(table(backwards, scores, score_board), made)


def test_the_values_are_those_of_the_reports():
    row = table(LINES, scores, score_board).set_index("model").loc["lucky"]
    assert (row["val_spearman"], row["test_spearman"], row["test_mse"]) == (0.50, 0.90, 0.002)
    assert (row["test_spearman_low"], row["test_spearman_high"]) == pytest.approx((0.85, 0.95))
    assert (row["val_n"], row["test_n"], row["seeds"]) == (90, N, 1)


def test_a_model_without_a_correlation_is_last_with_empty_cells():
    row = table(LINES, scores, score_board).iloc[-1]
    assert row["model"] == "mean"
    assert np.isnan([row["val_spearman"], row["test_spearman"], row["test_spearman_low"]]).all()
    assert summary(row, score_board) == {"val_spearman": None, "test_spearman": None, "test_mse": 0.030}


def test_combined_data_sets_have_columns_of_their_own():
    one = LINES["sound"]
    parts = {"lamem": numbers(0.9, 0.002), "sun": numbers(None, 0.02)}
    report = one.report | {"test": one.report["test"] | {"by_dataset": parts}}
    made = board({"sound": one._replace(report=report)})
    assert list(made.models[["lamem.test_spearman", "sun.test_mse"]].iloc[0]) == [0.9, 0.02]
    assert "by data set" in made.text
    assert "nan" not in made.text


# Comparisons


def compared(lines, names=("spearman", "mse")):
    return comparisons({k: v.test for k, v in lines.items()}, scores.MEASURES, compared=names)


def test_every_pair_is_compared_once_by_each_measure_that_it_has():
    made = compared(LINES)
    assert list(made) == COLUMNS
    assert (made["measure"] == "mse").sum() == 6
    assert (made["measure"] == "spearman").sum() == 3  # a constant has none to compare
    assert compared({"one": LINES["sound"]}).empty


def test_better_is_a_higher_spearman_and_a_lower_mse_whichever_comes_first():
    for lines in (LINES, dict(reversed(LINES.items()))):
        made = compared(lines)
        assert better_than("mean", made, measure="mse") == {"lucky", "sound"}
        assert better_than("sound", made, measure="spearman") == {"lucky"}
        assert better_than("poor", made, measure="mse") == {"mean", "lucky", "sound"}
        assert better_than(None, made, measure="mse") == set()
        difference, low, high = against(made, "lucky", "sound", measure="spearman")
        assert low < difference < high
        assert difference == pytest.approx(0.30)
    assert against(made, "mean", "sound", measure="spearman") is None


def test_what_one_comparison_would_call_better_many_do_not():
    """A difference of 2.4 standard errors: p is 0.017 by itself, and 1 among 190 pairs."""
    near = {f"m{i}": line(0.5, 0.02, seed=i) for i in range(20)}
    gap = 2.4 * np.hypot(0.01, 0.01)
    near["best"] = line(0.5 + gap, 0.02, seed=99)
    alone = compared({"m0": near["m0"], "best": near["best"]}, names=("spearman",))
    assert alone["better"].tolist() == ["best"]
    among = compared(near, names=("spearman",))
    pair = among[(among["model"] == "m0") & (among["other"] == "best")].iloc[0]
    assert pair["p"] < 0.05 < pair["p_holm"]
    assert pair["high"] < 0  # its interval, by itself, excludes 0
    assert (among["better"] == "").all()
    assert (among["p_holm"] >= among["p"]).all()


def test_under_ten_rows_nothing_is_better_and_nothing_has_an_interval():
    few = {name: line(*pair, n=SMALLEST - 1) for name, pair in (("a", (0.9, 0.001)), ("b", (0.1, 0.9)))}
    few["mean"] = line(None, 0.5, family="mean", n=SMALLEST - 1)
    made = board(few)
    assert (made.pairs["better"] == "").all()
    assert made.pairs[["low", "high"]].isna().all(axis=None)
    assert "Under 10 test items there are no intervals, and nothing is called better." in made.text
    assert "test n = 9" in made.text
    assert set(made.models["beats_baseline"]) == {""}
    assert not any(words.endswith(("*", "x")) for words in made.text.splitlines()[1:4])


# Signs


def words_of(made):
    """Model -> the end of its line."""
    lines = made.text.splitlines()[1:]
    return {words.split()[1]: words.split()[-1] for words in lines if words.strip()[:1].isdigit()}


def test_the_text_marks_what_is_better_than_the_mean_and_what_does_not_beat_it():
    made = board(LINES, people=PEOPLE)
    said = words_of(made)
    assert said["lucky"] == said["sound"] == "*"
    assert said["poor"] == "x"
    assert said["mean"] not in ("*", "x")
    beats = dict(zip(made.models["model"], made.models["beats_baseline"], strict=True))
    assert beats == {"sound": "yes", "lucky": "yes", "poor": "no", "mean": ""}
    assert "x does not beat `mean`" in made.text
    assert "Holm's correction for 9 comparisons" in made.text
    assert "not which seed a model was trained with" in made.text
    assert "nan" not in made.text


def test_an_order_alone_or_an_error_alone_does_not_beat_the_baseline():
    lines = LINES | {"order": line(0.5, 0.031, seed=5), "error": line(0.03, 0.02, seed=6)}
    said = words_of(board(lines))
    assert said["order"] == "x"  # a higher MSE than the mean
    assert said["error"].endswith("x")  # an interval of rho that has 0 in it


def test_the_ceiling_is_said_and_each_model_is_a_share_of_it():
    made = board(LINES, people=PEOPLE)
    assert "0.780" in made.text
    assert "0.876 (Spearman-Brown)" in made.text
    assert "above rho 0.936" in made.text
    share = made.models.set_index("model")["test_spearman_of_attainable"]
    assert share["sound"] == pytest.approx(0.6 / 0.936, abs=1e-6)
    assert "64%" in made.text
    assert "People" not in board(LINES).text
    assert "no correlation" in board(LINES, people=PEOPLE | {"attainable": None}).text


def test_what_is_fitted_on_validation_is_marked():
    lines = LINES | {"ensemble": line(0.6, 0.016, on_val="all"), "ranker": line(0.6, 0.016, on_val="scores")}
    text = board(lines).text
    (ensemble,) = [words for words in text.splitlines() if " ensemble " in words]
    assert "0.600v" in ensemble
    assert "v fitted on validation too" in text
    assert "`ranker` (its scores; its order is not)" in text
    assert "v fitted" not in board(LINES).text


def test_without_validation_the_board_says_so():
    lines = {name: one._replace(report={"test": one.report["test"]}) for name, one in LINES.items()}
    assert "no validation items" in board(lines).text


def test_a_board_of_several_targets_says_what_each_was_trained_on():
    lines = LINES | {"other": line(0.5, 0.02, target="long_term")}
    lines = {
        name: one._replace(trained_on=one.trained_on.replace("score", "short_term"))
        for name, one in lines.items()
    }
    made = board(lines, target="short_term", track="videos")
    assert "trained on" in made.text.splitlines()[0]
    assert "trained on" not in board(LINES).text


# Seeds


def test_models_that_differ_in_their_seed_alone_are_found():
    base = {"family": "resmem", "lr": 0.1}
    settings = {
        "resmem": base,
        "a": base | {"training_seed": 1},
        "b": base | {"training_seed": 2},
        "other": base | {"lr": 0.2, "training_seed": 1},
    }
    assert alike(settings, "training_seed") == [["resmem", "a", "b"]]
    assert alike({"one": base, "same": base}, "training_seed") == []  # they do not differ at all


def seeds():
    """Five seeds whose test rho go from 0.635 to 0.709, and a ridge between them."""
    rhos = (0.635, 0.66, 0.68, 0.70, 0.709)
    lines = {f"net{i}": line(rho, 0.015, val=rho + 0.01, seed=7) for i, rho in enumerate(rhos)}
    return lines | {"ridge": line(0.66, 0.017, val=0.66, seed=8), "mean": LINES["mean"]}, rhos


def test_seeds_are_shown_as_one_with_mean_and_range():
    lines, rhos = seeds()
    made = board(lines, seeds=[[f"net{i}" for i in range(5)]])
    assert list(made.table["model"]) == ["net0", "ridge", "mean"]
    row = made.table.iloc[0]
    assert row["test_spearman"] == pytest.approx(np.mean(rhos))
    assert (row["test_spearman_lowest"], row["test_spearman_highest"], row["seeds"]) == (0.635, 0.709, 5)
    assert "net0 (5 seeds)" in made.text
    assert "test rho 0.635 to 0.709" in made.text
    assert len(made.pairs) == 1 + 3  # rho of two, MSE of three: no seed against another
    assert list(made.models["model"]) == ["net4", "net3", "net2", "net1", "net0", "ridge", "mean"]
    assert list(made.models["shown_as"][:5]) == ["net0"] * 5


def test_the_interval_of_seeds_is_that_of_their_mean():
    lines, _ = seeds()
    group = [lines[f"net{i}"] for i in range(5)]
    one = over_seeds(group, measure="spearman")
    samples = np.mean([g.test.samples["spearman"] for g in group], axis=0)
    low, high = np.quantile(samples, [0.025, 0.975])
    assert one.report["test"]["spearman_low"] == pytest.approx(low, abs=1e-6)
    assert one.report["test"]["spearman_high"] == pytest.approx(high, abs=1e-6)
    assert over_seeds(group[:1], measure="spearman") is group[0]


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([0, 40], 20.0),  # maps predicted flat
        ([90, 90], 90),
        ([0.5, None], None),  # no correlation of one seed is none of all
        ([False, True], True),
        (["fine", "fine", "a critic that wins"], "fine; a critic that wins"),
        ([{"low": 0.1}, {"low": 0.3}], {"low": 0.2}),
    ],
)
def test_of_several_seeds_nothing_is_the_first_ones_alone(values, mean):
    found = leaderboard._mean(values)
    assert found == (pytest.approx(mean) if isinstance(mean, float | dict) else mean)


# Twins


def test_models_of_several_targets_are_compared_on_each_with_their_own_first():
    def of(short, long):
        return {
            "a_long": line(long, 0.02, target="long_term"),
            "b_short": line(short, 0.02, target="short_term", seed=4),
        }

    made = {
        "short_term": board(of(0.7, 0.5), target="short_term", track="videos"),
        "long_term": board(of(0.3, 0.6), target="long_term", track="videos"),
    }
    boards = {target: (one.table, one.pairs) for target, one in made.items()}
    text = across_targets(boards, [("a_long", "b_short")], measure="spearman")
    rows = [words.replace("|", " ").split() for words in text.splitlines()[1:]]
    assert [row[:5] for row in rows] == [
        ["b_short", "a_long", "short_term", "0.700", "0.500"],
        ["a_long", "b_short", "long_term", "0.600", "0.300"],
    ]
    assert [row[5] for row in rows] == ["+0.200", "+0.300"]


# Maps


def map_line(cc, *, kl=1.0, family="net", flat=0, sharpness=0.9, seed=0, **said):
    rng = np.random.default_rng(seed)
    values = {"cc": cc, "kl": kl, "l1": 0.05}
    samples = {name: value + rng.normal(0, 0.01, 300) for name, value in values.items()}
    numbers = values | {"kl_floored": kl, "sharpness_ratio": sharpness, "variety": 0.8}
    numbers |= {f"{name}_{end}": value for name, value in numbers.items() for end in ("low", "high")}
    test = numbers | {"n": N, "maps_predicted_flat": flat}
    report = {"val": numbers | {"n": 90}, "test": test, **said}
    items = pd.DataFrame({"id": range(N), **{name: np.full(N, value) for name, value in values.items()}})
    return Line(family, "map", report, Resampled(values, samples, items))


MAPS = {
    "mean_map": map_line(0.4, family="mean", sharpness=0.4),
    "ridge_map": map_line(0.6, family="place_ridge", seed=1),
    "unet": map_line(0.8, seed=2),
    "noise": map_line(0.1, sharpness=9.0, seed=3),
    "lazy": map_line(0.405, flat=12, seed=4),
}


def test_a_board_of_maps_marks_gains_over_the_mean_map_and_the_ridge():
    made = board(MAPS, target="map", track="maps")
    said = words_of(made)
    assert (said["unet"], said["ridge_map"], said["noise"], said["lazy"]) == ("*+", "*", "x", "x")
    assert said["mean_map"] == "blur"
    assert "+ higher test CC than `ridge_map`" in made.text
    assert "lazy: 12 of 200 test maps are predicted as flat; their CC counts as 0." in made.text
    assert "unet: " not in made.text
    assert list(made.items) == ["id", *(f"{name}.{m}" for name in MAPS for m in ("cc", "kl", "l1"))]


def test_a_board_of_maps_repeats_what_has_collapsed():
    signs = {"outputs_lost_their_variety": True, "text": "its maps hardly differ."}
    fine = {"outputs_lost_their_variety": False, "text": "its maps differ."}
    lines = MAPS | {"gan": map_line(0.5, collapse=signs), "other": map_line(0.5, collapse=fine)}
    text = board(lines, target="map", track="maps").text
    assert "gan: its maps hardly differ." in text
    assert "other: " not in text


def test_a_distance_has_a_column_where_it_is_known():
    lines = {"unet": MAPS["unet"]}
    lines["unet"].report["test"]["fid_demo"] = 2.5
    made = table(lines, maps, map_board)
    assert made["test_fid_demo"][0] == 2.5
    assert "FID: with the features of demo." in board(lines, target="map", track="maps").text
    del lines["unet"].report["test"]["fid_demo"]
