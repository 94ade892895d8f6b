import io

import numpy as np
import pandas as pd
import pytest
import small_maps

from memorability.core.errors import DataError
from memorability.evaluation import leaderboard, map_comparison, map_evaluation, map_leaderboard, map_plots
from memorability.evaluation.figures import GRID


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def draw(to, found, history):
    map_plots.model_plots(
        "model", found, history, picture=small_maps.picture, tables_to=to / "data", figures_to=to / "figures"
    )


# Densities


@pytest.mark.parametrize("values", [np.zeros(50), np.ones(7), np.linspace(0, 1, 1001), np.array([0.32, 0.9])])
def test_a_density_integrates_to_one(values):
    curve = map_plots.density(values)
    assert curve.shape == GRID.shape
    assert (curve >= 0).all()
    assert np.trapezoid(curve, GRID) == pytest.approx(1)


def test_256_levels_give_no_comb():
    curve = map_plots.density(np.arange(256) / 255)
    assert np.ptp(curve[5:-5]) < 0.05


def test_a_density_has_its_peak_where_the_values_are():
    curve = map_plots.density(np.random.default_rng(0).normal(0.7, 0.05, (40, 1, 16, 16)))
    assert GRID[curve.argmax()] == pytest.approx(0.7, abs=0.02)
    assert curve.max() == pytest.approx(1 / (0.051 * np.sqrt(2 * np.pi)), rel=0.1)


def test_values_out_of_range_count_as_its_ends():
    np.testing.assert_allclose(
        map_plots.density(np.array([-0.3, 1.2])), map_plots.density(np.array([0.0, 1.0]))
    )


# One model


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "RGB"])
def drawn(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plots")
    found = small_maps.judged(channels=request.param)
    draw(folder, found, small_maps.GAN)
    return folder, found.of_split("test")


def test_figures_are_pdf_and_svg(drawn):
    figures = drawn[0] / "figures"
    expected = ("cases", "density", "history", "scatter")
    assert names(figures) == [f"{name}.{kind}" for name in expected for kind in ("pdf", "svg")]
    for path in figures.iterdir():
        assert (b"%PDF" if path.suffix == ".pdf" else b"<svg") in path.read_bytes()[:1000]


def test_the_numbers_are_beside_the_figures(drawn):
    folder, test = drawn
    assert names(folder / "data") == ["density.csv", "history.csv", "scatter.csv"]
    density = pd.read_csv(folder / "data" / "density.csv")
    assert list(density) == ["score", "truth", "prediction"]
    np.testing.assert_allclose(density["truth"], map_plots.density(test.truth / 255), atol=1e-4)
    scatter = pd.read_csv(folder / "data" / "scatter.csv")
    np.testing.assert_allclose(scatter["score"], test.truth.mean(axis=(1, 2, 3)) / 255, atol=1e-5)
    np.testing.assert_allclose(scatter["prediction"], test.prediction.mean(axis=(1, 2, 3)), atol=1e-5)
    pd.testing.assert_frame_equal(pd.read_csv(folder / "data" / "history.csv"), small_maps.GAN)


def test_cases_show_the_highest_and_the_lowest_cc(monkeypatch):
    test = small_maps.judged().of_split("test")
    shown = []
    map_plots._cases("model", test, lambda row: shown.append(row) or small_maps.picture(row))
    cc = map_plots.map_metrics.cc(test.truth, test.prediction)
    order = list(np.argsort(-cc))
    assert shown == order[:4] + order[::-1][:4]


def test_a_map_is_drawn_as_bright_as_asked():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    map_plots.draw_map(axes, np.full((3, 4, 4), 0.1), brightest=0.2)
    np.testing.assert_allclose(axes.images[0].get_array(), 0.5)
    map_plots.draw_map(axes, np.full((1, 4, 4), 0.3), brightest=0.2)
    np.testing.assert_allclose(axes.images[1].get_array(), 1)
    map_plots.draw_map(axes, np.zeros((3, 4, 4)), brightest=0)
    np.testing.assert_allclose(axes.images[2].get_array(), 0)


def test_a_constant_model_with_one_line_of_history(tmp_path):
    found = small_maps.judged()
    draw(
        tmp_path,
        found._replace(prediction=np.full(found.truth.shape, 0.0, np.float32)),
        small_maps.CLOSED_FORM,
    )
    assert names(tmp_path / "figures") == [
        f"{name}.{kind}" for name in ("cases", "density", "scatter") for kind in ("pdf", "svg")
    ]


@pytest.mark.parametrize(
    "history",
    [
        small_maps.DIFFUSION,
        small_maps.GAN.assign(train_generator=-1.0),
        small_maps.GAN[["epoch", "train_l1", "val_l1"]],
        small_maps.GAN.assign(train_generator=np.nan),
    ],
    ids=["diffusion", "negative losses", "L1 alone", "a loss that is not known"],
)
def test_histories_of_every_kind_are_drawn(history, recwarn):
    figure = map_plots._history("model", history)
    figure.savefig(io.BytesIO(), format="svg")
    assert len(figure.axes) == (3 if "train_wins" in history else 2)
    assert all(axes.lines for axes in figure.axes)
    assert [str(warning.message) for warning in recwarn] == []


def test_no_test_rows_is_a_named_error(tmp_path):
    with pytest.raises(DataError, match="model: no test rows"):
        draw(tmp_path, small_maps.judged().of_split("val"), small_maps.GAN)
    assert list(tmp_path.iterdir()) == []


# All models


@pytest.fixture(scope="module")
def models():
    found = small_maps.judged()
    made = {
        "a_gan_of_a_very_long_name_indeed": found.prediction,
        "mean_map": small_maps.mean_of(found.truth),
        "flat": np.full(found.truth.shape, 0.1, np.float32),
        "noise": np.random.default_rng(0).random(found.truth.shape).astype(np.float32),
    }
    histories = dict.fromkeys(made, small_maps.CLOSED_FORM)
    histories["a_gan_of_a_very_long_name_indeed"] = small_maps.GAN
    reports = {
        name: map_evaluation.report(found._replace(prediction=p), histories[name], bootstrap=100, seed=0)
        for name, p in made.items()
    }
    board = leaderboard.board(reports, dict.fromkeys(made, "map"), kind=map_leaderboard.MAPS)
    tests = {name: found._replace(prediction=p).of_split("test") for name, p in made.items()}
    return board, histories, tests


def compare(models, to, *, seed=0, histories=None, picture=small_maps.picture):
    board, known, tests = models
    predictions = {name: test.prediction for name, test in tests.items()}
    truth = next(iter(tests.values())).truth
    map_comparison.comparison(
        board, histories or known, truth, predictions, picture=picture, seed=seed, to=to
    )


def test_the_comparison_is_written_and_repeatable(models, tmp_path):
    for folder in ("one", "two"):
        compare(models, tmp_path / folder)
    expected = [f"{name}.{kind}" for name in ("l1", "models", "samples") for kind in ("pdf", "png", "svg")]
    assert names(tmp_path / "one") == expected
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_samples_are_chosen_by_the_seed(models, tmp_path, monkeypatch):
    monkeypatch.setattr(map_comparison, "save", lambda figure, path, **_: path.touch())
    chosen = {}
    for seed in (0, 0, 1):
        shown = []
        compare(
            models,
            tmp_path,
            seed=seed,
            picture=lambda row, to=shown: to.append(row) or small_maps.picture(row),
        )
        assert len(set(shown)) == map_comparison.SAMPLES
        assert chosen.setdefault(seed, shown) == shown
    assert chosen[0] != chosen[1]


def test_without_gradient_models_there_is_no_l1(models, tmp_path, monkeypatch):
    monkeypatch.setattr(map_comparison, "save", lambda figure, path, **_: path.touch())
    compare(models, tmp_path / "figures", histories=dict.fromkeys(models[2], small_maps.CLOSED_FORM))
    assert names(tmp_path / "figures") == ["models", "samples"]


def test_no_test_pictures_is_a_named_error(models, tmp_path):
    board, histories, tests = models
    with pytest.raises(DataError, match="no test pictures"):
        map_comparison.comparison(
            board,
            histories,
            tests["flat"].truth[:0],
            {},
            picture=small_maps.picture,
            seed=0,
            to=tmp_path / "x",
        )


def test_long_names_are_wrapped_at_their_underscores():
    assert map_comparison._wrapped("unet") == "unet"
    lines = map_comparison._wrapped("pix2pix_patch_discriminator").split("\n")
    assert "".join(lines) == "pix2pix_patch_discriminator"
    assert max(map(len, lines)) <= map_comparison.LETTERS + 1
