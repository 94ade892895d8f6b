"""Densities, what figures show of which rows, and that odd models can be drawn."""

import io

import numpy as np
import pandas as pd
import pytest
import small_maps
from matplotlib.figure import Figure
from test_judges import judged

from memorability.evaluation import map_figures, map_measures, map_mosaics, score_figures
from memorability.evaluation.figures import GRID, LETTERS, PEAK, mark_kept, short, styled, with_kept


@pytest.mark.parametrize("seed", [0, 1])
def test_a_density_of_scores_has_its_peak_where_they_are(seed):
    curve = score_figures.density(np.random.default_rng(seed).normal(0.7, 0.05, 500))
    assert curve.shape == GRID.shape
    assert GRID[curve.argmax()] == pytest.approx(0.7, abs=0.03)
    assert np.trapezoid(curve, GRID) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("value", [0.1, 0.4321, 0.7])
@pytest.mark.parametrize("count", [1, 7])
def test_the_density_of_equal_scores_is_one_peak(value, count):
    curve = score_figures.density(np.full(count, value))
    assert np.flatnonzero(curve).tolist() == [round(200 * value)]
    assert np.trapezoid(curve, GRID) == pytest.approx(1)


@pytest.mark.parametrize("values", [np.zeros(50), np.ones(7), np.linspace(0, 1, 1001), np.array([0.32, 0.9])])
def test_a_density_of_pixels_integrates_to_one(values):
    curve = map_figures.density(values)
    assert (curve >= 0).all()
    assert np.trapezoid(curve, GRID) == pytest.approx(1)


def test_256_levels_give_no_comb_and_values_out_of_range_count_as_its_ends():
    assert np.ptp(map_figures.density(np.arange(256) / 255)[5:-5]) < 0.05
    np.testing.assert_allclose(
        map_figures.density(np.array([-0.3, 1.2])), map_figures.density(np.array([0.0, 1.0]))
    )


def test_a_nearly_constant_model_does_not_flatten_the_truth():
    given = judged()
    narrow = given.where(np.ones(len(given), bool))
    object.__setattr__(narrow, "prediction", 0.6 + 0.001 * given.prediction)
    axes = Figure().subplots()
    curves = score_figures.densities(narrow)
    score_figures._draw_density(axes, narrow, curves)
    assert curves["prediction"].max() > 20 * curves["truth"].max()
    assert axes.get_ylim()[1] == pytest.approx(1.05 * PEAK * curves["truth"].max())


def test_long_names_are_cut_in_legends():
    assert short("resmem") == "resmem"
    assert len(short("a" * 60)) == LETTERS


def test_cases_are_the_highest_and_the_lowest_cc(monkeypatch, tmp_path):
    test = small_maps.judged().of_split("test")
    asked = []

    def pictures(rows, raw):
        asked.extend(rows["id"])
        return [np.zeros((map_mosaics.TILE, map_mosaics.TILE, 3), np.uint8)] * len(rows)

    monkeypatch.setattr(map_mosaics, "pictures", pictures)
    map_mosaics.cases("model", test, tmp_path)
    order = list(np.argsort(-map_measures.cc(test.truth, test.prediction), kind="stable"))
    assert asked == list(test.rows["id"].iloc[order[:4] + order[::-1][:4]])


def test_a_tile_is_as_bright_as_asked():
    assert (map_mosaics.tile(np.full((3, 4, 4), 0.1), 0.2) == 128).all()
    assert map_mosaics.tile(np.zeros((3, 4, 4)), 0.0).max() == 0
    brightest = map_mosaics.tile(np.full((1, 4, 4), 0.3), 0.2)
    assert brightest.shape == (map_mosaics.TILE, map_mosaics.TILE, 3)
    assert (brightest == map_mosaics.tile(np.full((1, 4, 4), 0.9), 0.9)).all()


def test_samples_are_chosen_by_the_seed_and_not_by_how_good_they_are():
    test = small_maps.judged().of_split("test")
    one, same, other = (list(map_figures.excerpt(test, seed=s).rows["id"]) for s in (0, 0, 1))
    assert one == same != other
    assert len(set(one)) == map_figures.SAMPLES


@pytest.mark.parametrize(
    "history",
    [
        small_maps.GAN,
        small_maps.DIFFUSION,
        small_maps.GAN.assign(train_generator=-1.0),
        small_maps.GAN[["epoch", "train_l1", "val_l1"]],
        small_maps.GAN.assign(train_generator=np.nan),
    ],
    ids=["gan", "diffusion", "negative losses", "L1 alone", "a loss that is not known"],
)
def test_histories_of_every_kind_are_drawn(history, recwarn):
    figure = Figure()
    places = list(figure.subplots(1, 3 if "train_wins" in history else 2))
    map_figures._draw_history(places, history)
    figure.savefig(io.BytesIO(), format="svg")
    assert all(axes.lines for axes in places)
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize("values", [[3.0, 92.0, 5.5], [0.0, 2.0, np.nan], [np.nan, np.nan, np.nan]])
def test_every_fid_has_its_place_in_the_graph(values, recwarn):
    board = pd.DataFrame({"model": ["a", "b", "c"], "seeds": 1, "test_fid_net": values})
    with styled():
        figure = map_figures._fid(board, "test_fid_net")
        figure.savefig(io.BytesIO(), format="svg")
    (axes,) = figure.axes
    shown = {text.get_text() for text in axes.texts}
    assert shown == {" not known" if np.isnan(value) else f"{value:.3g}" for value in values}
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == list(board.sort_values("test_fid_net", kind="stable")["model"])
    assert "net" in axes.get_title(loc="left")
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize(
    ("select", "higher", "kept"), [("spearman", True, 1), ("mse", False, 2), ("l1", False, None)]
)
def test_the_epoch_that_is_marked_is_the_one_whose_weights_are_kept(select, higher, kept):
    history = pd.DataFrame({"epoch": range(3), "val_spearman": [0.1, 0.5, 0.4], "val_mse": [0.3, 0.2, 0.1]})
    found, figure = with_kept(history, select, higher=higher), Figure()
    axes = figure.subplots()
    mark_kept(axes, found, "val_spearman")
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines]
    assert dots == ([] if kept is None else [(kept, history["val_spearman"][kept])])


def test_a_history_without_any_correlation_is_drawn(tmp_path):
    history = pd.DataFrame({"epoch": range(3), "train_loss": 0.1, "val_mse": 0.2, "val_spearman": np.nan})
    given = judged().of_split("test")
    curves = score_figures.densities(given)
    score_figures.draw_model("net", given, curves, history, raw=tmp_path, to=tmp_path)
    assert (tmp_path / "fit.svg").is_file()
